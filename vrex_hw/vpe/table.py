"""Tables of coefficients as read-only memories."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Signal, Value


def rom(
    m: Module, rows: Sequence[Sequence[int]], widths: Sequence[int], index: Value, name: str
) -> list[Value]:
    """Return the columns of ``rows[index]``, of ``widths`` bits, a cycle later.

    Logic with a register behind it, as a table of 64 rows for a lane is smaller than a memory.
    """
    words = Array(
        Cat(Const(value, width) for value, width in zip(row, widths, strict=True)) for row in rows
    )
    word = Signal(sum(widths), name=name, reset_less=True)
    m.d.sync += word.eq(words[index])
    ends = [sum(widths[: k + 1]) for k in range(len(widths))]
    return [word[end - width : end] for end, width in zip(ends, widths, strict=True)]
