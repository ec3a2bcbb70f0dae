"""1 / x of an fp32 number."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex.tables import RECIPROCAL as TABLE
from vrex_hw.multiplier import Multiplier
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32
from vrex_hw.vpe.table import look_up


class Reciprocal(wiring.Component):
    """``y``: 1 / x, one a cycle: bit for bit the reference's ``reciprocal``.

    Within 0.82 units in the last place. NaN for a zero and a NaN; a result below 2^-126 is zero
    of the sign of ``x``. Latency 8: table; product and difference; product in two stages and
    difference; rounding and packing. The fraction picks one of 128 quadratics.
    Source: the paper's VPE has a reciprocal; the form is our decision.
    """

    LATENCY = 8

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"x": In(32), "y": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        """Invert the significand, negate the exponent, round."""
        m = Module()
        x = fp32.FP32(self.x)
        y = self._invert(m, x.fraction)
        before = self.LATENCY - fp32.ROUND_LATENCY
        field = delay(m, x.exponent, before, "field")
        # y is from above a half to 1; a 1 is one place higher, and then all else is 0.
        one = y[-1]
        result = fp32.round_and_pack(
            m,
            sign=delay(m, x.sign, before, "sign"),
            exponent=2 * fp32.BIAS - 1 - field + one,
            kept=Mux(one, Const(1 << 23, 24), y[-25:-1]),
            guard=~one & y[-26],
            rest=~one & y[:-26].any(),
            nan=~field.any() | field.all(),
        )
        m.d.comb += self.y.eq(result)
        return m

    def _invert(self, m: Module, fraction: Value) -> Value:
        """Return 1 / (1 + fraction), U1.28 (6 stages)."""
        argument = TABLE.index + TABLE.low
        r = fraction[: TABLE.low]
        c0, c1, c2 = look_up(m, TABLE.rows, TABLE.widths, fraction[TABLE.low :], "table")
        m.submodules.curve = curve = Multiplier(len(c2), len(r))
        m.d.comb += [curve.a.eq(c2), curve.b.eq(r)]
        bend = curve.product >> (TABLE.c2_bits + argument - TABLE.c1_bits)
        inner = Signal(len(c1))
        m.d.comb += inner.eq(delay(m, c1, Multiplier.LATENCY, "c1") - bend)

        # Two products that each fit an FPGA's multiplier.
        half = len(inner) // 2
        m.submodules.low = low = Multiplier(half, len(r))
        m.submodules.high = high = Multiplier(len(inner) - half, len(r))
        late = delay(m, r, Multiplier.LATENCY, "r")
        m.d.comb += [Cat(low.a, high.a).eq(inner), low.b.eq(late), high.b.eq(late)]
        fall = Signal(len(inner) + len(r), reset_less=True)
        y = Signal(TABLE.y_bits + 1, reset_less=True)
        drop = TABLE.c1_bits + argument - TABLE.y_bits
        m.d.sync += [
            fall.eq(low.product + (high.product << half)),
            y.eq(delay(m, c0, 2 * Multiplier.LATENCY + 1, "c0") - (fall >> drop)),
        ]
        return y
