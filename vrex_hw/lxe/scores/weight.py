"""The weight of a score: what a lane makes of its difference to the row's maximum or minimum."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex.tables import EXP_WEIGHT, LOG2E, LOG2E_BITS
from vrex_hw.lxe.scores.constant import ConstantMultiplier
from vrex_hw.lxe.scores.product import Product, latency
from vrex_hw.vpe import fp32

WEIGHT_BITS = 16
FRACTION_BITS = EXP_WEIGHT.index + EXP_WEIGHT.low
"""Fraction bits of u and t."""
U_BITS = 4 + FRACTION_BITS
TOP = 4 - 1 + fp32.BIAS
"""Exponent field of a number whose leading one is the first bit of u, at a temperature of 1."""
C0_BITS, C1_BITS, C2_BITS = EXP_WEIGHT.widths
CURVE = latency(C2_BITS, EXP_WEIGHT.low)
SLOPE = latency(C1_BITS, EXP_WEIGHT.low)
"""Cycles of the two products of the interpolation."""
ROUND_PLACE = EXP_WEIGHT.y_bits - WEIGHT_BITS
"""Bits of y below those of the weight."""


class Weight(wiring.Component):
    """A weight of 16 bits, one a cycle: bit for bit that of ``resv_ref.numerics.maps``.

    ``difference``: float32, not subnormal. ``exponential``: the map is exp, and the difference
    that of a score to its row's maximum; else the score less the row's minimum, or the score
    itself for relu, where a negative one has weight 0. ``base``: for exp, :data:`TOP` plus the
    exponent of the temperature; else the exponent field of the row's largest difference. A NaN
    has weight 0.

    Exp is 2^-t by table and interpolation (the stages are those of the reference's text). The
    other maps shift the significand and round, which is the end of exp: so they join it with the
    significand in place of the table's c0, and 0 for what is taken from it.

    Latency :attr:`LATENCY`. Source: docs/numerics.md; the pipeline is our decision.
    """

    LATENCY = 16

    def __init__(self) -> None:
        """Make it."""
        super().__init__(
            {
                "difference": In(32),
                "exponential": In(1),
                "base": In(8),
                "weight": Out(WEIGHT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Align, multiply by log2(e), interpolate, shift, round."""
        m = Module()
        m.submodules.log2e = log2e = ConstantMultiplier(U_BITS, LOG2E)
        significand, places, exponential, dead = self._decode(m)
        full = Cat(Const(0, U_BITS - len(significand)), significand)
        u = Signal(U_BITS, reset_less=True)
        m.d.sync += u.eq(full >> places)
        m.d.comb += log2e.a.eq(u)
        t = log2e.product[LOG2E_BITS:]

        aligned = 1 + log2e.latency
        significand = fp32.delay(m, significand, aligned, "significand")
        places = fp32.delay(m, places, aligned, "places")
        exponential = fp32.delay(m, exponential, aligned, "exponential")
        y = self._interpolate(m, t[:FRACTION_BITS], significand, exponential)
        moved = CURVE + SLOPE + 1
        shift = fp32.delay(m, Mux(exponential, t[FRACTION_BITS:], places), moved, "shift")
        exponential = fp32.delay(m, exponential, moved, "exponential_y")
        dead = fp32.delay(m, dead, aligned + moved, "dead")
        m.d.comb += self.weight.eq(self._round(m, y, shift, exponential, dead))
        return m

    def _decode(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """Return the significand, by how much it is shifted right, the map, and if weight is 0."""
        number = fp32.FP32(self.difference)
        below = Signal(fp32.EXPONENT)
        m.d.comb += below.eq(self.base - number.exponent)
        above = below[-1]
        significand = Signal(24, reset_less=True)
        places = Signal(5, reset_less=True)
        exponential, dead = Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            significand.eq(fp32.significand(number)),
            # 31 places leave nothing of either map, as any more would.
            places.eq(Mux(below[5:].any(), 31, below[:5])),
            exponential.eq(self.exponential),
            dead.eq(
                Mux(self.exponential, above, number.sign) | (number.exponent == fp32.NOT_FINITE)
            ),
        ]
        return significand, places, exponential, dead

    def _interpolate(self, m: Module, f: Value, significand: Value, exponential: Value) -> Value:
        """Return 2^-f, or the significand as large, after two multiplications and a cycle."""
        index, r = f[EXP_WEIGHT.low :], Mux(exponential, f[: EXP_WEIGHT.low], 0)
        row = Signal(C0_BITS + C1_BITS + C2_BITS)
        rows = Array(
            Const(c0 | c1 << C0_BITS | c2 << C0_BITS + C1_BITS, len(row))
            for c0, c1, c2 in EXP_WEIGHT.rows
        )
        m.d.comb += row.eq(rows[index])
        given = Cat(Const(0, EXP_WEIGHT.y_bits - len(significand)), significand)
        c0 = Mux(exponential, row[:C0_BITS], given)
        c1, c2 = row[C0_BITS:][:C1_BITS], row[-C2_BITS:]

        m.submodules.curve = curve = Product(C2_BITS, EXP_WEIGHT.low)
        m.submodules.slope = slope = Product(C1_BITS, EXP_WEIGHT.low)
        inner, taken = Signal(C1_BITS), Signal(C0_BITS)
        m.d.comb += [
            curve.a.eq(c2),
            curve.b.eq(r),
            inner.eq(
                fp32.delay(m, c1, CURVE, "c1")
                - (curve.product >> EXP_WEIGHT.c2_bits + FRACTION_BITS - EXP_WEIGHT.c1_bits)
            ),
            slope.a.eq(inner),
            slope.b.eq(fp32.delay(m, r, CURVE, "r")),
            taken.eq(slope.product >> EXP_WEIGHT.c1_bits + FRACTION_BITS - EXP_WEIGHT.y_bits),
        ]
        y = Signal(C0_BITS, reset_less=True)
        m.d.sync += y.eq(fp32.delay(m, c0, CURVE + SLOPE, "c0") - taken)
        return y

    def _round(self, m: Module, y: Value, shift: Value, exponential: Value, dead: Value) -> Value:
        """Return ``y`` shifted: exp rounds halves up, the others to even (2 stages)."""
        moved = Signal(len(y), reset_less=True)
        lost = Signal(reset_less=True)
        rest = y
        sticky: Any = Const(0, 1)
        for bit in reversed(range(len(shift))):
            places = 1 << bit
            sticky = sticky | (shift[bit] & rest[:places].any())
            rest = Mux(shift[bit], rest >> places, rest)
        m.d.sync += [moved.eq(rest), lost.eq(sticky)]
        exponential, dead = (
            fp32.delay(m, value, 1, name) for value, name in ((exponential, "exp"), (dead, "none"))
        )
        kept, guard = moved[ROUND_PLACE:], moved[ROUND_PLACE - 1]
        tie_down = ~(moved[: ROUND_PLACE - 1].any() | lost | kept[0])
        rounded = Signal(WEIGHT_BITS + 1)
        m.d.comb += rounded.eq(kept + (guard & (exponential | ~tie_down)))
        weight = Signal(WEIGHT_BITS, reset_less=True)
        m.d.sync += weight.eq(
            Mux(dead, 0, Mux(rounded[-1], (1 << WEIGHT_BITS) - 1, rounded[:WEIGHT_BITS]))
        )
        return weight
