"""The fp32 multiplier."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.multiplier import Multiplier
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32

HALF = 12
"""Bits of half a significand: a product of two halves fits every FPGA's multiplier."""


class Multiply(wiring.Component):
    """``product = a * b``, one a cycle: bit for bit the reference's ``fp32.mul``.

    Latency 6: operands, four products of half significands, their sum in two stages, rounding,
    packing. Subnormals count as zero and become zero of their sign; a non-finite operand or an
    overflow gives the canonical NaN. Source: our decision.
    """

    LATENCY = 6

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"a": In(32), "b": In(32), "product": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Multiply the significands beside the exponents; round."""
        m = Module()
        a, b = fp32.FP32(self.a), fp32.FP32(self.b)
        high, low = self._significand(m, fp32.significand(a), fp32.significand(b))
        sign, exponent, nan = self._exponent(m, a, b)
        # The product of two numbers from 1 to below 2 may be 2 or more: one place higher.
        top = high[-1]
        result = fp32.round_and_pack(
            m,
            sign=sign,
            exponent=exponent + top,
            kept=Mux(top, high[1:], high[:-1]),
            guard=Mux(top, high[0], low[-1]),
            rest=low[:-1].any() | (top & low[-1]),
            nan=nan,
        )
        m.d.comb += self.product.eq(result)
        return m

    def _significand(self, m: Module, a: Value, b: Value) -> tuple[Value, Value]:
        """Return the high 25 bits of the product, and those below; the last of them is sticky."""
        parts = []
        for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
            m.submodules[f"part_{x}{y}"] = part = Multiplier(HALF, HALF)
            m.d.comb += [part.a.eq(a.word_select(x, HALF)), part.b.eq(b.word_select(y, HALF))]
            parts.append(part.product)
        inner, outer = Signal(2 * HALF + 1, reset_less=True), Signal(3 * HALF, reset_less=True)
        sticky = Signal(reset_less=True)
        m.d.sync += [
            inner.eq(parts[1] + parts[2]),
            outer.eq(Cat(parts[0][HALF:], parts[3])),
            sticky.eq(parts[0][:HALF].any()),
        ]
        high, low = Signal(3 * HALF, reset_less=True), Signal(reset_less=True)
        m.d.sync += [high.eq(outer + inner), low.eq(sticky)]
        return high[11:], Cat(low, high[:11])

    def _exponent(self, m: Module, a: Value, b: Value) -> tuple[Value, Value, Value]:
        """Return sign, exponent and NaN flag beside the product."""
        exponent = Signal(fp32.EXPONENT, reset_less=True)
        sign, nan = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            exponent.eq(a.exponent + b.exponent - fp32.BIAS),
            sign.eq(a.sign ^ b.sign),
            nan.eq(fp32.is_nan(a) | fp32.is_nan(b)),
        ]
        # A zero of either side leaves the significand 0: the exponent must not make a number.
        with m.If(~(a.exponent.any() & b.exponent.any())):
            m.d.sync += exponent.eq(-1)
        return (
            delay(m, sign, 3, "sign"),
            delay(m, exponent, 3, "exponent"),
            delay(m, nan, 3, "nan"),
        )
