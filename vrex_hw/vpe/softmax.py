"""Online softmax: rows of scores become rows of exponentials, tile by tile."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32
from vrex_hw.vpe.add import Add
from vrex_hw.vpe.maximum import NONE, Maximum, from_key
from vrex_hw.vpe.reciprocal import Reciprocal
from vrex_hw.vpe.row_sum import RowSum
from vrex_hw.vpe.running_maximum import RunningMaximum
from vrex_hw.vpe.softmax_lane import SoftmaxLane

SIGN = 1 << 31


def row_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row of scores: ``side`` of them, those of one tile.

    ``z``: float32 bits, scores in units of a power of two; ``live``: those that the row attends;
    ``first``, ``last``: tile of the row; ``bank``: goes through.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "row": range(lxe.rows),
            "bank": 1,
            "first": 1,
            "last": 1,
            "live": lxe.side,
            "z": data.ArrayLayout(32, lxe.side),
        }
    )


def result_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row's result for one tile.

    ``p``: BF16 bits; ``shift``: by how many powers of two what was summed before is to shrink;
    ``inverse``: float32 bits of what to multiply the finished sums by, in the ``last`` tile.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "row": range(lxe.rows),
            "bank": 1,
            "last": 1,
            "live": lxe.side,
            "p": data.ArrayLayout(16, lxe.side),
            "shift": 8,
            "inverse": 32,
        }
    )


class Softmax(wiring.Component):
    """Online softmax of rows, a tile of ``side`` scores at a time, a row a cycle.

    ``i`` (:func:`row_layout`) gives ``o`` (:func:`result_layout`) ``latency`` cycles later. For
    each row a running maximum m, an integer, and a running sum l are kept between its tiles;
    ``first`` starts them anew. With m' the maximum after the tile, over its live scores:

        m' = max(m, ceil(max z)),  shift = m' - m,  p = 2^(z - m'),  l' = l * 2^-shift + sum p

    and ``inverse`` = 1 / l', or 0 where l' is 0: bit for bit as ``resv_ref.attention`` has them.
    A row must not come again before its result has left. Lanes that are not live count for
    nothing, and their ``p`` is anything. Source: our decision, after the online form of softmax.
    """

    def __init__(self, config: Config) -> None:
        """Make ``config.lxe.side`` lanes."""
        self._config = config
        self._maximum = Maximum(config.lxe.side)
        self._sum = RowSum(config.lxe.side, config.lxe.window)
        super().__init__({"i": In(row_layout(config)), "o": Out(result_layout(config))})

    @property
    def latency(self) -> int:
        """Cycles from a row to its result."""
        return self._exponentials + self._sum.latency + Reciprocal.LATENCY

    @property
    def _after(self) -> int:
        """Cycles from a row to its m'."""
        return self._maximum.latency + RunningMaximum.LATENCY

    @property
    def _exponentials(self) -> int:
        """Cycles from a row to its p."""
        return self._after + SoftmaxLane.LATENCY

    def elaborate(self, platform: Any) -> Module:
        """Maximum, exponentials, sum, inverse."""
        m = Module()
        i, o, end = self.i, self.o, self.latency
        valid = _taps(m, i.valid, end, "valid", reset=True)
        row = _taps(m, i.row, end, "row")
        first = _taps(m, i.first, self._exponentials, "first")
        live = _taps(m, i.live, end, "live")

        before, after = self._find_maximum(m, valid, row, first)
        shift, shift_at = self._find_shift(m, before, after)
        p = self._exponentiate(m, platform, after)
        acc_at = self._exponentials - 1
        acc_shift = delay(m, shift, acc_at - shift_at, "acc_shift")
        total = self._add(m, p, live[self._exponentials], acc_shift, valid, row, first)
        m.submodules.reciprocal = reciprocal = Reciprocal()
        m.d.comb += reciprocal.x.eq(total)
        nonzero = delay(m, total[:-1].any(), Reciprocal.LATENCY, "nonzero")
        m.d.comb += [
            o.valid.eq(valid[end]),
            o.row.eq(row[end]),
            o.bank.eq(delay(m, i.bank, end, "bank")),
            o.last.eq(delay(m, i.last, end, "last")),
            o.live.eq(live[end]),
            o.p.eq(delay(m, p, end - self._exponentials, "p")),
            o.shift.eq(delay(m, acc_shift, end - acc_at, "shift")),
            o.inverse.eq(Mux(nonzero, reciprocal.y, 0)),
        ]
        return m

    def _find_maximum(
        self, m: Module, valid: list[Value], row: list[Value], first: list[Value]
    ) -> tuple[Value, Value]:
        """Return the keys of m and of m', both when m' is there."""
        m.submodules.maximum = maximum = self._maximum
        m.submodules.running = running = RunningMaximum()
        m.submodules.maxima = memory = Memory(shape=32, depth=self._config.lxe.rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        found = maximum.latency
        m.d.comb += [
            maximum.values.eq(self.i.z),
            maximum.live.eq(self.i.live),
            read.addr.eq(row[found - 1]),
            running.found.eq(maximum.key),
            running.before.eq(Mux(first[found], NONE, read.data)),
            write.en.eq(valid[self._after]),
            write.addr.eq(row[self._after]),
            write.data.eq(running.after),
        ]
        return delay(m, running.before, RunningMaximum.LATENCY, "before"), running.after

    def _find_shift(self, m: Module, before: Value, after: Value) -> tuple[Value, int]:
        """Return min(255, m' - m) as an integer, 0 where m was none, and its cycle."""
        m.submodules.rise = rise = Add()
        m.d.comb += [rise.a.eq(from_key(after)), rise.b.eq(from_key(before) ^ SIGN)]
        none = delay(m, before == NONE, Add.LATENCY, "none")
        number = fp32.FP32(rise.sum)
        # Below 256 the integer is in the top 8 bits of the significand; a NaN is an overflow.
        places = fp32.BIAS + 7 - number.exponent
        integer = Cat(number.fraction[-7:], Const(1, 1)) >> places[:3]
        large, small = places < 0, places >= 8
        shift = Signal(8, reset_less=True)
        m.d.sync += shift.eq(Mux(none | small, 0, Mux(large, 255, integer)))
        return shift, self._after + Add.LATENCY + 1

    def _exponentiate(self, m: Module, platform: Any, after: Value) -> Value:
        """Return p of every lane."""
        z = delay(m, self.i.z, self._after, "z")
        p = []
        for k in range(self._config.lxe.side):
            lane = place(m, platform, f"lane{k}", "vrex_softmax_lane", SoftmaxLane)
            m.d.comb += [lane.z.eq(z[k]), lane.maximum.eq(from_key(after))]
            p.append(lane.p)
        return Cat(p)

    def _add(
        self,
        m: Module,
        p: Value,
        live: Value,
        shift: Value,
        valid: list[Value],
        row: list[Value],
        first: list[Value],
    ) -> Value:
        """Return l'; ``shift`` is a cycle ahead of ``p``."""
        m.submodules.row_sum = unit = self._sum
        m.submodules.sums = memory = Memory(shape=32, depth=self._config.lxe.rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        start, done = self._exponentials, self._exponentials + unit.latency
        scaled = Mux(first[start - 1], 0, fp32.shift_exponent(read.data, shift))
        m.d.comb += [
            read.addr.eq(row[start - 2]),
            unit.acc.eq(delay(m, scaled, 1, "scaled")),
            unit.p.eq(p),
            unit.live.eq(live),
            write.en.eq(valid[done]),
            write.addr.eq(row[done]),
            write.data.eq(unit.total),
        ]
        return unit.total


def _taps(m: Module, value: Any, stages: int, name: str, *, reset: bool = False) -> list[Any]:
    """Return ``value`` 0, 1, ... ``stages`` cycles later."""
    taps = [value]
    for stage in range(stages):
        taps.append(delay(m, taps[-1], 1, f"{name}_{stage}", reset=reset))
    return taps
