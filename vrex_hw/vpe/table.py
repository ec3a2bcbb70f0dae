"""Tables of coefficients as logic."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value


def look_up(
    m: Module, rows: Sequence[Sequence[int]], widths: Sequence[int], index: Value, name: str
) -> list[Value]:
    """Return the columns of ``rows[index]``, of ``widths`` bits, without a register.

    Gates, as the table of 64 rows that a lane has is smaller so than as a memory.
    """
    words = Array(
        Cat(Const(value, width) for value, width in zip(row, widths, strict=True)) for row in rows
    )
    word = Signal(sum(widths), name=name)
    m.d.comb += word.eq(words[index])
    ends = [sum(widths[: k + 1]) for k in range(len(widths))]
    return [word[end - width : end] for end, width in zip(ends, widths, strict=True)]
