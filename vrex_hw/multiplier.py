"""An unsigned multiplier with registered operands and a registered product."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Multiplier(wiring.Component):
    """``product = a * b``, unsigned and full width, one a cycle.

    Latency 2: operands are registered, then the product. This is the shape of a DSP block with
    its input and output registers on, so that synthesis may absorb both ranks.

    Parameters
    ----------
    a_bits, b_bits : widths of the operands, 1 or more. Up to 18 by 18 is one ECP5 MULT18X18D.
    """

    LATENCY = 2

    def __init__(self, a_bits: int, b_bits: int) -> None:
        """Raise ValueError when a width is below 1."""
        if a_bits < 1 or b_bits < 1:
            raise ValueError(f"multiplier operands are {a_bits} and {b_bits} bits: 1 or more")
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: object) -> Module:
        """Two ranks of registers around one multiply."""
        m = Module()
        a = Signal.like(self.a)
        b = Signal.like(self.b)
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.product.eq(a * b)]
        return m
