"""From fp32 to BF16."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.vpe import fp32

CANONICAL_NAN = fp32.CANONICAL_NAN >> 16
"""Bits of the only BF16 NaN that is ever produced."""


class Round(wiring.Component):
    """``y``: fp32 ``x`` as BF16, one a cycle: bit for bit the reference's ``to_bf16``.

    Latency 1. To nearest even; a subnormal ``x`` becomes zero of its sign, NaN and what rounds
    past the largest finite number the canonical NaN. Source: our decision.
    """

    LATENCY = 1

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"x": In(32), "y": Out(16)})

    def elaborate(self, platform: object) -> Module:
        """Round the magnitude: a carry out of the fraction raises the exponent."""
        m = Module()
        x = fp32.FP32(self.x)
        high, half = self.x[16:31], self.x[15]
        magnitude = Signal(15)
        m.d.comb += magnitude.eq(high + (half & (self.x[16] | self.x[:15].any())))
        # NaN may become a number when it rounds: a fraction of ones carries past the exponent.
        invalid = fp32.is_nan(x) | magnitude[7:].all()
        y = Signal(16, reset_less=True)
        m.d.sync += y.eq(Mux(x.exponent.any(), Cat(magnitude, x.sign), Cat(Const(0, 15), x.sign)))
        with m.If(invalid):
            m.d.sync += y.eq(CANONICAL_NAN)
        m.d.comb += self.y.eq(y)
        return m
