"""1 / x of an fp32 number."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex.tables import RECIPROCAL as TABLE
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32
from vrex_hw.vpe.table import rom


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
        c0, c1, c2 = rom(m, TABLE.rows, TABLE.widths, fraction[TABLE.low :], "table")
        r = delay(m, fraction[: TABLE.low], 1, "r")

        curve = Signal(len(c2) + len(r), reset_less=True)
        inner = Signal(len(c1), reset_less=True)
        m.d.sync += [
            curve.eq(c2 * r),
            inner.eq(delay(m, c1, 1, "c1") - (curve >> (TABLE.c2_bits + argument - TABLE.c1_bits))),
        ]
        r = delay(m, r, 2, "r_late")
        # Two products that each fit an FPGA's multiplier.
        half = len(inner) // 2
        low, high = (
            Signal(len(r) + half, reset_less=True),
            Signal(len(r) + len(inner) - half, reset_less=True),
        )
        slope = Signal(len(r) + len(inner), reset_less=True)
        y = Signal(TABLE.y_bits + 1, reset_less=True)
        m.d.sync += [
            low.eq(r * inner[:half]),
            high.eq(r * inner[half:]),
            slope.eq(low + (high << half)),
            y.eq(delay(m, c0, 4, "c0") - (slope >> (TABLE.c1_bits + argument - TABLE.y_bits))),
        ]
        return y
