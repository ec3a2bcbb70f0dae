"""One lane of a tree: the product of two BF16 numbers, its exponent first."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.hierarchy import place
from vrex_hw.multiplier import Multiplier
from vrex_hw.pipeline import register

BIAS = 127
SIGNIFICAND_BITS = 8
"""Bits of a BF16's significand, the leading 1 included."""
MAGNITUDE_BITS = 2 * SIGNIFICAND_BITS
FIELD_BITS = 8
"""Bits of an exponent field."""
EXPONENT_BITS = 9
"""Bits of a sum of two exponent fields."""


class Product(wiring.Component):
    """The exact product of two BF16 numbers but for its sign, as a term of an aligned sum.

    A cycle after ``a_field``, ``b_field`` (the exponent fields) and ``live``: ``exponent``, the
    sum of the two, which is 2 or more, or 0 where an input is zero, subnormal or not live; and
    ``poison``, that an input is live and non-finite. ``Multiplier.LATENCY`` cycles after the
    fractions: ``magnitude``, of two integer bits and 14 of fraction; where the exponent is 0 it
    is any value. The fractions may thus come later than the fields.
    """

    def __init__(self) -> None:
        """Make it."""
        super().__init__(
            {
                "a_field": In(FIELD_BITS),
                "b_field": In(FIELD_BITS),
                "live": In(1),
                "a_fraction": In(SIGNIFICAND_BITS - 1),
                "b_fraction": In(SIGNIFICAND_BITS - 1),
                "exponent": Out(EXPONENT_BITS),
                "poison": Out(1),
                "magnitude": Out(MAGNITUDE_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Add the fields, multiply the significands."""
        m = Module()
        a, b = self.a_field, self.b_field
        counts = self.live & a.any() & b.any()
        # Such a choice is a flip-flop's synchronous reset where it has one.
        exponent = Mux(counts, a + b, 0)
        poison = self.live & (a.all() | b.all())
        multiplier = place(
            m,
            platform,
            "multiplier",
            "dpe_multiplier",
            lambda: Multiplier(SIGNIFICAND_BITS, SIGNIFICAND_BITS),
        )
        one = Const(1, 1)
        m.d.comb += [
            self.exponent.eq(register(m, exponent, "sum_of_fields")),
            self.poison.eq(register(m, poison, "non_finite")),
            multiplier.a.eq(Cat(self.a_fraction, one)),
            multiplier.b.eq(Cat(self.b_fraction, one)),
            self.magnitude.eq(multiplier.product),
        ]
        return m
