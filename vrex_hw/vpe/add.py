"""The fp32 adder."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32


class Add(wiring.Component):
    """``sum = a + b``, one a cycle: bit for bit the reference's ``fp32.add``.

    For a difference flip the sign of ``b``. Latency 8: comparing, swapping, aligning, adding,
    normalising in two stages, rounding, packing. Subnormals count as zero and become zero of
    their sign, an exact zero is +0 unless both are -0; a non-finite operand or an overflow gives
    the canonical NaN. Source: our decision.
    """

    LATENCY = 8

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"a": In(32), "b": In(32), "sum": Out(32)})

    def elaborate(self, platform: object) -> Module:
        """Bring the smaller to the larger, add, bring to the front again, round."""
        m = Module()
        large, small, distance = self._order(m)
        total = self._add(m, large, small, distance)
        number, count = self._normalise(m, total)
        large = delay(m, large, 4, "large")
        small_sign = delay(m, small.sign, 4, "small_sign")
        zero = ~number[-1]
        exponent = Signal(fp32.EXPONENT)
        m.d.comb += exponent.eq(Mux(zero, -1, large.exponent + 1 - count))
        result = fp32.round_and_pack(
            m,
            sign=large.sign & (small_sign | ~zero),
            exponent=exponent,
            kept=number[4:],
            guard=number[3],
            rest=number[:3].any(),
            nan=fp32.is_nan(large),
        )
        m.d.comb += self.sum.eq(result)
        return m

    def _order(self, m: Module) -> tuple[Any, Any, Value]:
        """Return the larger, the smaller and how far to shift that (2 stages)."""
        swap = Signal(reset_less=True)
        m.d.sync += swap.eq(self.a[:-1] < self.b[:-1])
        a, b = delay(m, self.a, 1, "a"), delay(m, self.b, 1, "b")
        larger, smaller = fp32.FP32(Mux(swap, b, a)), fp32.FP32(Mux(swap, a, b))
        difference = Signal(8)
        m.d.comb += difference.eq(larger.exponent - smaller.exponent)
        distance = Signal(5, reset_less=True)
        # 31 places leave nothing but the sticky bit, as any more would.
        m.d.sync += distance.eq(Mux(difference[5:].any(), 31, difference[:5]))
        return delay(m, larger, 1, "larger"), delay(m, smaller, 1, "smaller"), distance

    def _add(self, m: Module, large: Any, small: Any, distance: Value) -> Value:
        """Return carry, 24 bits of significand, guard, round and sticky bit (2 stages)."""
        moved, lost = Cat(Const(0, 2), fp32.significand(small)), Const(0, 1)
        for bit in reversed(range(len(distance))):
            places, shift = 1 << bit, distance[bit]
            lost = named(m, lost | (shift & moved[:places].any()), f"lost_{bit}")
            moved = named(m, Mux(shift, moved >> places, moved), f"moved_{bit}")
        aligned = Signal(27, reset_less=True)
        subtract = Signal(reset_less=True)
        m.d.sync += [aligned.eq(Cat(lost, moved)), subtract.eq(large.sign ^ small.sign)]
        full = Cat(Const(0, 3), delay(m, fp32.significand(large), 1, "significand"))
        total = Signal(28, reset_less=True)
        m.d.sync += total.eq(Mux(subtract, full - aligned, full + aligned))
        return total

    def _normalise(self, m: Module, total: Value) -> tuple[Value, Value]:
        """Return ``total`` with its leading one in front, and how far it moved (2 stages)."""
        count = Signal(0)
        for stage, bits in enumerate(((4, 3), (2, 1, 0))):
            for bit in bits:
                places = 1 << bit
                empty = named(m, ~total[-places:].any(), f"empty_{bit}")
                shifted = Mux(empty, total << places, total)[: len(total)]
                total = named(m, shifted, f"shifted_{bit}")
                count = Cat(empty, count)
            total = delay(m, total, 1, f"normal{stage}")
            count = delay(m, count, 1, f"count{stage}")
        return total, count


def named(m: Module, value: Value, name: str) -> Signal:
    """Return ``value`` as a signal: an expression that is used twice is emitted twice."""
    signal = Signal.like(value, name=name)
    m.d.comb += signal.eq(value)
    return signal
