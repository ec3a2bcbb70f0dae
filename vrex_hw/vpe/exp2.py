"""2^x of an fp32 number, as BF16 and before it is rounded."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex.tables import EXP2
from vrex_hw.multiplier import Multiplier
from vrex_hw.pipeline import delay
from vrex_hw.vpe import bf16, fp32
from vrex_hw.vpe.table import look_up

LIMIT_BITS = 8
"""From |x| = 2^8 on the result does not depend on its size."""
FRACTION_BITS = EXP2.index + EXP2.low


class Exp2(wiring.Component):
    """``y``: 2^x, one a cycle: bit for bit the reference's ``exp2_bf16``; ``exact``: its ``exp2``.

    Within 0.507 units in y's last place. NaN for a NaN and where 2^x overflows, +0 from -126 down.
    Latency 4: to fixed point; table; product; difference and rounding. The argument's fraction
    picks one of 64 chords. Source: the paper's VPE has exp; the form is our decision.
    """

    LATENCY = 4

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"x": In(32), "y": Out(16), "exact": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        """To fixed point, from the table, and to BF16."""
        m = Module()
        x = fp32.FP32(self.x)
        u, large = self._fixed(m, x)
        positive = delay(m, ~x.sign, 1, "positive")
        nan = delay(m, fp32.is_nan(x), 1, "nan")

        t = Signal(signed(LIMIT_BITS + FRACTION_BITS + 1))
        m.d.comb += t.eq(Mux(positive, -u, u))
        fraction = t[:FRACTION_BITS]
        c0, c1 = look_up(m, EXP2.rows, EXP2.widths, fraction[EXP2.low :], "table")
        m.submodules.fall = fall = Multiplier(EXP2.low, EXP2.widths[1])
        m.d.comb += [fall.a.eq(fraction[: EXP2.low]), fall.b.eq(c1)]
        y = delay(m, c0, Multiplier.LATENCY, "c0") - fall.product[EXP2.low :]
        field = Signal(signed(10))
        m.d.comb += field.eq(fp32.BIAS - 1 - t[FRACTION_BITS:].as_signed())
        self._round(
            m,
            y[: EXP2.y_bits],
            delay(m, field, Multiplier.LATENCY, "field"),
            # Too large is NaN where x is positive, else 0.
            delay(m, nan | (large & positive), Multiplier.LATENCY, "invalid"),
            delay(m, large, Multiplier.LATENCY, "large"),
        )
        return m

    def _fixed(self, m: Module, x: Any) -> tuple[Value, Value]:
        """Return |x| in units of 2^-18 and whether it is 256 or more (1 stage)."""
        bits = LIMIT_BITS + FRACTION_BITS
        most = fp32.BIAS + LIMIT_BITS - 1
        places = Signal(signed(9))
        m.d.comb += places.eq(most - x.exponent)
        wide = Cat(Const(0, bits - 24), x.fraction, Const(1, 1))
        shift_bits = ceil_log2(bits)
        small = places[shift_bits:-1].any()
        u, large = Signal(bits, reset_less=True), Signal(reset_less=True)
        m.d.sync += [u.eq(Mux(small, 0, wide >> places[:shift_bits])), large.eq(places[-1])]
        return u, large

    def _round(self, m: Module, y: Value, field: Value, nan: Value, zero: Value) -> None:
        """Round ``y``, 2^17 to 2^18 - 1, to 8 bits and put it together (1 stage)."""
        cut = EXP2.y_bits - 8
        kept, guard, rest = y[cut:], y[cut - 1], y[: cut - 1].any()
        rounded = Signal(9)
        m.d.comb += rounded.eq(kept + (guard & (rest | kept[0])))
        final = Signal(signed(11))
        m.d.comb += final.eq(field + rounded[-1])
        result, exact = Signal(16, reset_less=True), Signal(32, reset_less=True)
        places = 23 - (EXP2.y_bits - 1)
        m.d.sync += exact.eq(Mux(zero | (field <= 0), 0, Cat(Const(0, places), y[:-1], field[:8])))
        # Zero is decided before the rounding, an overflow after it.
        m.d.sync += result.eq(Mux(zero | (field <= 0), 0, Cat(rounded[:7], final[:8])))
        with m.If(nan | (~zero & (final >= fp32.NOT_FINITE))):
            m.d.sync += result.eq(bf16.CANONICAL_NAN)
        with m.If(nan | (~zero & (field >= fp32.NOT_FINITE))):
            m.d.sync += exact.eq(fp32.CANONICAL_NAN)
        m.d.comb += [self.y.eq(result), self.exact.eq(exact)]
