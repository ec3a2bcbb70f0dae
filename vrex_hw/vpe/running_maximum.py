"""The running maximum of a row's scores, as an integer."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32
from vrex_hw.vpe.maximum import from_key, key


class RunningMaximum(wiring.Component):
    """``after`` = the larger of ``before`` and the least integer not below ``found``.

    All are keys (:func:`~vrex_hw.vpe.maximum.key`), :data:`~vrex_hw.vpe.maximum.NONE` for none;
    ``before`` is an integer's. An integer from -1 to 0 is +0. Latency 2, one a cycle.
    Source: our decision (docs/numerics.md): with integers, rescaling is a shift of exponents.
    """

    LATENCY = 2

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"found": In(32), "before": In(32), "after": Out(32)})

    def elaborate(self, platform: Any) -> Module:
        """Compare while the fraction is found; then raise the integer and choose."""
        m = Module()
        whole, up, sign = self._truncate(fp32.FP32(from_key(self.found)))
        whole, up, sign = (
            delay(m, whole, 1, "whole"),
            delay(m, up, 1, "up"),
            delay(m, sign, 1, "sign"),
        )
        rises = delay(m, self.found > self.before, 1, "rises")
        raised = Signal(31)
        m.d.comb += raised.eq(whole + up)
        after = Signal(32, reset_less=True)
        m.d.sync += after.eq(Mux(rises, key(Cat(raised, sign)), delay(m, self.before, 1, "before")))
        m.d.comb += self.after.eq(after)
        return m

    def _truncate(self, number: Any) -> tuple[Value, Value, Value]:
        """Return the magnitude, whether its bits want 1 more, and the sign of the integer."""
        magnitude, tiny = Cat(number.fraction, number.exponent), number.exponent < fp32.BIAS
        positive = ~number.sign & number.exponent.any()
        # The bits below the point, for 1 and above. With all of them set, 1 more carries into the
        # integer and clears them.
        places = number.exponent - fp32.BIAS
        below = Mux(places >= 32, 0, Const((1 << 23) - 1, 31) >> places[:5])
        up = positive & (magnitude & below).any()
        whole = Mux(up, magnitude | below, magnitude & ~below)
        one_or_zero = Mux(positive, Const(fp32.BIAS << 23, 31), 0)
        return Mux(tiny, one_or_zero, whole)[:31], up & ~tiny, number.sign & ~tiny
