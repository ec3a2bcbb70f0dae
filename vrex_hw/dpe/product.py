"""One lane of a tree: the product of two BF16 numbers, its exponent first."""

from typing import Any

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.dpe.layouts import BF16
from vrex_hw.dpe.pipeline import delay, register
from vrex_hw.hierarchy import place
from vrex_hw.multiplier import Multiplier

BIAS = 127
SIGNIFICAND_BITS = 8
"""Bits of a BF16's significand, the leading 1 included."""
MAGNITUDE_BITS = 2 * SIGNIFICAND_BITS
EXPONENT_BITS = 9
"""Bits of a sum of two exponent fields."""


class Product(wiring.Component):
    """The exact product of two BF16 numbers, as a term of an aligned sum.

    A cycle after ``a``, ``b`` and ``live``: ``exponent``, the sum of the two fields, which is 2 or
    more, or 0 where an input is zero, subnormal or not live; and ``poison``, that an input is
    live and non-finite. After ``wait`` cycles: ``magnitude``, of two integer bits and 14 of
    fraction, and its sign; where the exponent is 0 they are any value.

    Parameters
    ----------
    wait : cycles, the multiplier's latency or more.
    """

    def __init__(self, wait: int) -> None:
        """Raise ValueError when the multiplier needs longer."""
        if wait < Multiplier.LATENCY:
            raise ValueError(f"product: wait is {wait}: it must be {Multiplier.LATENCY} or more")
        self._wait = wait
        super().__init__(
            {
                "a": In(BF16),
                "b": In(BF16),
                "live": In(1),
                "exponent": Out(EXPONENT_BITS),
                "poison": Out(1),
                "magnitude": Out(MAGNITUDE_BITS),
                "negative": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Add the fields; hold the significands and multiply them late: they are narrower."""
        m = Module()
        a, b = self.a[7:15], self.b[7:15]
        counts = self.live & a.any() & b.any()
        exponent = (a + b) & counts.replicate(EXPONENT_BITS)
        poison = self.live & (a.all() | b.all())
        multiplier = place(
            m,
            platform,
            "multiplier",
            "dpe_multiplier",
            lambda: Multiplier(SIGNIFICAND_BITS, SIGNIFICAND_BITS),
        )
        before = self._wait - Multiplier.LATENCY
        one = Const(1, 1)
        m.d.comb += [
            self.exponent.eq(register(m, exponent, "sum_of_fields")),
            self.poison.eq(register(m, poison, "non_finite")),
            multiplier.a.eq(Cat(delay(m, self.a[:7], before, "a_fraction"), one)),
            multiplier.b.eq(Cat(delay(m, self.b[:7], before, "b_fraction"), one)),
            self.magnitude.eq(multiplier.product),
            self.negative.eq(delay(m, self.a[-1] ^ self.b[-1], self._wait, "sign")),
        ]
        return m
