"""What one lane of a tree makes of two BF16 numbers first: their product's exponent."""

from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.pipeline import register

BIAS = 127
SIGNIFICAND_BITS = 8
"""Bits of a BF16's significand, the leading 1 included."""
FIELD_BITS = 8
"""Bits of an exponent field."""
EXPONENT_BITS = 9
"""Bits of a sum of two exponent fields."""


class ProductExponent(wiring.Component):
    """The exponent of the product of two BF16 numbers, for an aligned sum.

    A cycle after ``a_field``, ``b_field`` (the exponent fields) and ``live``: ``exponent``, the
    sum of the two, which is 2 or more, or 0 where an input is zero, subnormal or not live; and
    ``poison``, that an input is live and non-finite.
    """

    def __init__(self) -> None:
        """Make it."""
        super().__init__(
            {
                "a_field": In(FIELD_BITS),
                "b_field": In(FIELD_BITS),
                "live": In(1),
                "exponent": Out(EXPONENT_BITS),
                "poison": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Add the fields."""
        m = Module()
        a, b = self.a_field, self.b_field
        counts = self.live & a.any() & b.any()
        # Such a choice is a flip-flop's synchronous reset where it has one.
        exponent = Mux(counts, a + b, 0)
        poison = self.live & (a.all() | b.all())
        m.d.comb += [
            self.exponent.eq(register(m, exponent, "sum_of_fields")),
            self.poison.eq(register(m, poison, "non_finite")),
        ]
        return m
