"""The aligned sum: terms of any exponent, aligned to the largest one and added as integers."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.dpe.align import Aligner, aligned
from vrex_hw.hierarchy import place
from vrex_hw.pipeline import delay, register

FAN_IN = 4
"""Values that one stage reduces to one: two levels of comparators, or of adders."""

Term = tuple[Value, Value]
"""A signed value, and a 1 that still has to be added: a negative magnitude's complement and its
sign, or a sum of such."""


class AlignedSum(wiring.Component):
    """Sum of ``width`` signed terms and an accumulator, one sum a cycle.

    A term is ``magnitude * 2^(exponent - bits + 2)`` in a unit of the user's: two integer bits,
    the rest fraction, as a product of two numbers from 1 to 2 has them; the accumulator likewise.
    With E the ``largest`` exponent of all, every magnitude is truncated to a multiple of
    2^(E + 2 - window), given its sign and added; ``total`` counts that unit. An exponent of 0
    says that the term takes no part, unless E is below 2^ceil(log2(window + 1)): such small sums
    are the user's to take as zero.

    Magnitudes and signs come ``magnitude_delay`` cycles after the exponents; ``total`` and
    ``largest`` come ``latency`` cycles after the exponents. Source: our decision (hardware.md).

    Parameters
    ----------
    width : terms beside the accumulator, 1 or more.
    bits, acc_bits : widths of their magnitudes, 2 or more.
    exponent_bits : width of an exponent.
    window : bits that an aligned magnitude keeps.
    """

    WAIT = 0
    """Cycles that a lane takes beyond those of its :class:`~vrex_hw.dpe.align.Aligner`."""

    def __init__(
        self, width: int, *, bits: int, acc_bits: int, exponent_bits: int, window: int
    ) -> None:
        """Raise ValueError for a width below 1 or magnitudes below 2 bits."""
        if width < 1:
            raise ValueError(f"aligned sum: width is {width}: it must be 1 or more")
        if min(bits, acc_bits) < 2:
            raise ValueError(f"aligned sum: magnitudes have {bits} and {acc_bits} bits: 2 or more")
        self.width, self.window = width, window
        self.total_bits = window + 1 + ceil_log2(width + 1)
        super().__init__(
            {
                "exponents": In(data.ArrayLayout(exponent_bits, width)),
                "acc_exponent": In(exponent_bits),
                "negatives": In(width),
                "acc_magnitude": In(acc_bits),
                "acc_negative": In(1),
                "largest": Out(exponent_bits),
                "total": Out(signed(self.total_bits)),
            }
            | self._lane_ports(width, bits)
        )

    def _lane_ports(self, width: int, bits: int) -> dict[str, Any]:
        """Return the ports that bring magnitudes."""
        return {"magnitudes": In(data.ArrayLayout(bits, width))}

    @property
    def magnitude_delay(self) -> int:
        """Cycles by which magnitudes and signs follow the exponents."""
        return _search_stages(self.width) + 1 + self.WAIT

    @property
    def latency(self) -> int:
        """Cycles from the exponents to their total."""
        return latency(self.width) + self.WAIT

    def elaborate(self, platform: Any) -> Module:
        """Find the largest exponent, align, add."""
        m = Module()
        largest = self._largest(m)
        search = _search_stages(self.width)
        late = delay(m, self.exponents, search, "exponents")
        terms = [self._lane(m, platform, k, largest, late[k]) for k in range(self.width)]
        acc_late = delay(m, self.acc_exponent, search, "acc_exponent")
        acc_lane = acc_late, self.acc_magnitude, self.acc_negative
        acc = self._term(m, platform, "acc", largest, *acc_lane)
        m.d.comb += [
            self.total.eq(self._add(m, terms, acc)),
            self.largest.eq(delay(m, largest, self.latency - search, "largest")),
        ]
        return m

    def _lane(self, m: Module, platform: Any, k: int, largest: Value, exponent: Value) -> Term:
        """Return term ``k``, two cycles after its exponent has met the ``largest`` one."""
        lane = self.magnitudes[k], self.negatives[k]
        return self._term(m, platform, f"{k}", largest, exponent, *lane)

    def _term(
        self,
        m: Module,
        platform: Any,
        name: str,
        largest: Value,
        exponent: Value,
        magnitude: Value,
        negative: Value,
    ) -> Term:
        sizes = (len(magnitude), len(exponent), self.window, self.WAIT)
        module = f"dpe_aligner_{'_'.join(map(str, sizes))}"
        unit = place(m, platform, f"aligner_{name}", module, lambda: Aligner(*sizes))
        m.d.comb += [
            unit.exponent.eq(exponent),
            unit.largest.eq(largest),
            unit.magnitude.eq(magnitude),
            unit.negative.eq(negative),
        ]
        return aligned(unit.fine, unit.coarse, unit.sign, self.window), unit.sign

    def _largest(self, m: Module) -> Value:
        """Return the largest exponent, after ``_search_stages`` cycles."""
        stages = _search_stages(self.width)
        values: list[Any] = list(self.exponents)
        for stage in range(stages - 1):
            groups = _groups(values, FAN_IN)
            values = [
                register(m, _largest_of(group), f"largest{stage}_{k}")
                for k, group in enumerate(groups)
            ]
        acc = delay(m, self.acc_exponent, stages - 1, "acc_candidate")
        over = Cat(acc > value for value in values).all()
        return register(m, Mux(over, acc, _largest_of(values)), "largest")

    def _add(self, m: Module, terms: list[Term], acc: Term) -> Value:
        """Return the sum of ``terms`` and ``acc``.

        Every adder has room for one owed 1 as its carry: it settles its left operand's and
        leaves its right one's open, so that the last adder, with the accumulator, settles all.
        """
        fan_ins = _fan_ins(self.width)
        # The accumulator has an adder of its own for its sign, while the terms are added.
        settled = delay(m, acc[0] + acc[1], len(fan_ins), "acc_settled").as_signed()
        for stage, fan_in in enumerate(fan_ins):
            held = []
            for k, group in enumerate(_groups(terms, fan_in)):
                value, owed = _sum(group)
                name = f"{stage}_{k}"
                held.append((register(m, value, f"sum{name}"), register(m, owed, f"owed{name}")))
            terms = held
        value, owed = _sum(terms)
        return register(m, _carry_add(value, settled, owed), "total")


def _fan_ins(width: int) -> list[int]:
    """Return how many terms each stage of adders but the last makes one.

    The first stage has the second step of the alignment in front of its adders; the last one
    takes one term or two, and the accumulator.
    """
    fan_ins, left = [2], -(-width // 2)
    while left > 2:
        fan_ins.append(FAN_IN)
        left = -(-left // FAN_IN)
    return fan_ins


def latency(width: int) -> int:
    """Return the cycles from the exponents of ``width`` terms to their total."""
    return _search_stages(width) + 2 + len(_fan_ins(width)) + 1


def _search_stages(width: int) -> int:
    return max(1, -(-ceil_log2(width) // ceil_log2(FAN_IN)))


def _groups(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[k : k + size] for k in range(0, len(values), size)]


def _largest_of(values: Sequence[Any]) -> Value:
    """Return the largest of up to four unsigned ``values``.

    The winners of two pairs meet without a comparison of their own, which would have to wait for
    theirs: every meeting that can be is compared beforehand.
    """
    if len(values) == 1:
        return Value.cast(values[0])
    if len(values) == 2:
        return Mux(values[0] > values[1], values[0], values[1])
    (a, b), (c, *rest) = values[:2], values[2:]
    d = rest[0] if rest else c
    first, second = a > b, c > d
    # Gates, not choices: a simulator would branch on what no processor can predict.
    left = (
        (first & second & (a > c))
        | (first & ~second & (a > d))
        | (~first & second & (b > c))
        | (~first & ~second & (b > d))
    )
    return Mux(left, Mux(first, a, b), Mux(second, c, d))


def _sum(group: Sequence[Term]) -> Term:
    """Return the sum of a group of complements, and the 1 still owed."""
    if len(group) == 1:
        return group[0]
    half = len(group) // 2
    (a, settled), (b, owed) = _sum(group[:half]), _sum(group[half:])
    return _carry_add(a, b, settled), owed


def _carry_add(a: Value, b: Value, carry: Value) -> Value:
    """Return signed ``a + b + carry`` in one adder: the carry enters below the lowest bit."""
    total = Cat(Const(1, 1), a).as_signed() + Cat(carry, b).as_signed()
    return total[1:].as_signed()
