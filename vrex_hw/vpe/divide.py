"""A float32 number divided by a whole number, correctly rounded, as BF16."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.vpe import fp32
from vrex_hw.vpe.bf16 import Round

COUNT_BITS = 16
"""Width of the divisor."""
QUOTIENT_BITS = 26
"""A place before the point and 25 after it: 24 that count, one to round by, one to normalise."""


class Divide(wiring.Component):
    """``y = x / divisor`` in BF16: bit for bit the reference's ``mean_bf16``, a bit a cycle.

    ``divisor``, the whole number 1 to 65535 shifted left by ``places`` until its highest bit is
    set, or 0, which gives NaN; both are held from ``start`` on. ``start`` takes the float32 ``x``;
    ``step`` must then be high in :data:`QUOTIENT_BITS` of the cycles that follow. ``y`` holds the
    result :attr:`LATENCY` cycles after the last of them, until the next ``start``. Source:
    docs/numerics.md; division by restoring is our decision.
    """

    LATENCY = fp32.ROUND_LATENCY + Round.LATENCY

    def __init__(self) -> None:
        """Make it."""
        super().__init__(
            {
                "x": In(32),
                "divisor": In(COUNT_BITS),
                "places": In(range(COUNT_BITS)),
                "start": In(1),
                "step": In(1),
                "y": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Subtract where it goes, shift; round what has gathered."""
        m = Module()
        x = fp32.FP32(self.x)
        significand = fp32.significand(x)
        kept_bits = len(significand)
        sign, field = Signal(reset_less=True), Signal(8, reset_less=True)
        remainder = Signal(COUNT_BITS + 1, reset_less=True)
        # The dividend's low bits leave at the top while the quotient's come in below.
        quotient = Signal(QUOTIENT_BITS, reset_less=True)
        less = Signal(COUNT_BITS + 1)
        fits = Signal()
        m.d.comb += [fits.eq(remainder >= self.divisor)]
        m.d.comb += less.eq(Mux(fits, remainder - self.divisor, remainder))
        low = kept_bits - COUNT_BITS
        with m.If(self.start):
            m.d.sync += [
                sign.eq(x.sign),
                field.eq(x.exponent),
                remainder.eq(significand[low:]),
                quotient.eq(Cat(Const(0, QUOTIENT_BITS - low), significand[:low])),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                remainder.eq(Cat(quotient[-1], less)),
                quotient.eq(Cat(fits, quotient)),
            ]
        one = quotient[-1]
        result = fp32.round_and_pack(
            m,
            sign=sign,
            exponent=field + self.places - (COUNT_BITS - 1) - ~one,
            kept=Mux(one, quotient[2:], quotient[1:-1]),
            guard=Mux(one, quotient[1], quotient[0]),
            rest=remainder.any() | (one & quotient[0]),
            nan=(field == fp32.NOT_FINITE) | ~self.divisor.any(),
        )
        m.submodules.round = round_ = Round()
        m.d.comb += [round_.x.eq(result), self.y.eq(round_.y)]
        return m
