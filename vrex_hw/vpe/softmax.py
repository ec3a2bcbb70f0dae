"""Online softmax: rows of scores become rows of exponentials, tile by tile."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32
from vrex_hw.vpe.add import Add
from vrex_hw.vpe.exp2 import Exp2
from vrex_hw.vpe.maximum import NONE, Maximum, from_key
from vrex_hw.vpe.multiply import Multiply
from vrex_hw.vpe.reciprocal import Reciprocal
from vrex_hw.vpe.row_sum import RowSum
from vrex_hw.vpe.softmax_lane import SoftmaxLane

SIGN = 1 << 31
ONE = fp32.BIAS << 23


def _place(config: Config) -> dict[str, Any]:
    """Return the fields that tell a row: in which cycle, which one, and of which tile."""
    return {"valid": 1, "row": bits_for(config.lxe.rows - 1), "bank": 1}


def row_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row of scores: ``side`` of them, those of one tile.

    ``z``: float32 bits, scores in units of a power of two; ``live``: those that the row attends;
    ``first``: its first tile; ``bank``: goes through.
    """
    side = config.lxe.side
    scores = {"first": 1, "live": side, "z": data.ArrayLayout(32, side)}
    return data.StructLayout({**_place(config), **scores})


def result_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row's exponentials for one tile: ``p``, BF16 bits, where ``live``."""
    side = config.lxe.side
    return data.StructLayout({**_place(config), "live": side, "p": data.ArrayLayout(16, side)})


def factor_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row's float32 ``number``."""
    return data.StructLayout({**_place(config), "number": 32})


class Softmax(wiring.Component):
    """Online softmax of rows, a tile of ``side`` scores at a time, a row a cycle.

    For each row a running maximum m and a running sum l are kept between its tiles; ``first``
    starts them anew. With m' the maximum after the tile, over its live scores:

        m' = max(m, max z),  p = 2^(z - m'),  factor = 2^(m - m'),  l' = l * factor + sum p

    and ``inverse`` = 1 / l', or 0 where l' is 0: bit for bit as ``resv_ref.attention`` has them.
    Each leaves as soon as it is there: ``o`` (:func:`result_layout`), ``factor`` and ``inverse``
    (:func:`factor_layout`) come ``exponentials``, ``factors`` and ``latency`` cycles after ``i``
    (:func:`row_layout`). A row must not come again before its inverse has left. Lanes that are
    not live count for nothing, and their ``p`` is anything. Source: our decision, after the
    online form of softmax.
    """

    def __init__(self, config: Config) -> None:
        """Make ``config.lxe.side`` lanes."""
        self._config = config
        self._maximum = Maximum(config.lxe.side)
        self._sum = RowSum(config.lxe.side, config.lxe.window)
        self._after = self._maximum.latency + 1
        self.exponentials = self._after + SoftmaxLane.LATENCY
        """Cycles from a row to its p."""
        self.factors = self._after + Add.LATENCY + Exp2.LATENCY + 1
        """Cycles from a row to its factor."""
        self._summed = self.factors + Multiply.LATENCY
        self.latency = self._summed + self._sum.latency + Reciprocal.LATENCY
        """Cycles from a row to its inverse."""
        super().__init__(
            {
                "i": In(row_layout(config)),
                "o": Out(result_layout(config)),
                "factor": Out(factor_layout(config)),
                "inverse": Out(factor_layout(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Maximum, exponentials and factor, sum, inverse."""
        m = Module()
        i, end = self.i, self.latency
        tags = [Cat(i.valid, i.row, i.bank, i.first)]
        for stage in range(end):
            tags.append(delay(m, tags[-1], 1, f"tag{stage}", reset=True))
        places = [(tag[0], tag[1 : 1 + len(i.row)], tag[-2], tag[-1]) for tag in tags]
        live = delay(m, i.live, self.exponentials, "live")

        before, after = self._find_maximum(m, places)
        factor = self._find_factor(m, before, after)
        p = self._exponentiate(m, platform, after)
        wait = self._summed - self.exponentials
        late_p, late_live = delay(m, p, wait, "late_p"), delay(m, live, wait, "late_live")
        total = self._add(m, late_p, late_live, factor, places)
        m.submodules.reciprocal = reciprocal = Reciprocal()
        m.d.comb += reciprocal.x.eq(total)
        nonzero = delay(m, total[:-1].any(), Reciprocal.LATENCY, "nonzero")
        m.d.comb += [
            self.o.live.eq(live),
            self.o.p.eq(p),
            self.factor.number.eq(factor),
            self.inverse.number.eq(Mux(nonzero, reciprocal.y, 0)),
        ]
        for out, at in (
            (self.o, self.exponentials),
            (self.factor, self.factors),
            (self.inverse, end),
        ):
            valid, row, bank, _ = places[at]
            m.d.comb += [out.valid.eq(valid), out.row.eq(row), out.bank.eq(bank)]
        return m

    def _find_maximum(self, m: Module, places: list[Any]) -> tuple[Value, Value]:
        """Return the keys of m and of m', a cycle after the tile's maximum is found."""
        m.submodules.maximum = maximum = self._maximum
        m.submodules.maxima = memory = Memory(shape=32, depth=self._config.lxe.rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        found, kept = maximum.latency, Signal(32)
        before, after = Signal(32, reset_less=True), Signal(32, reset_less=True)
        m.d.comb += [
            maximum.values.eq(self.i.z),
            maximum.live.eq(self.i.live),
            read.addr.eq(places[found - 1][1]),
            kept.eq(Mux(places[found][3], NONE, read.data)),
            write.en.eq(places[self._after][0]),
            write.addr.eq(places[self._after][1]),
            write.data.eq(after),
        ]
        m.d.sync += [
            before.eq(kept),
            after.eq(Mux(maximum.key > kept, maximum.key, kept)),
        ]
        return before, after

    def _find_factor(self, m: Module, before: Value, after: Value) -> Value:
        """Return 2^(m - m'): 1 where m was none or they are equal, 0 where they are too far."""
        m.submodules.fall = fall = Add()
        m.submodules.power = power = Exp2()
        none = delay(m, before == NONE, Add.LATENCY, "none")
        m.d.comb += [
            fall.a.eq(from_key(before)),
            fall.b.eq(from_key(after) ^ SIGN),
            power.x.eq(fall.sum),
        ]
        one = none | ~fall.sum[:-1].any()
        one, far = (
            delay(m, one, Exp2.LATENCY, "one"),
            delay(m, fp32.is_nan(fp32.FP32(fall.sum)), Exp2.LATENCY, "far"),
        )
        factor = Signal(32, reset_less=True)
        m.d.sync += factor.eq(Mux(one, ONE, Mux(far, 0, power.exact)))
        return factor

    def _exponentiate(self, m: Module, platform: Any, after: Value) -> Value:
        """Return p of every lane."""
        z = delay(m, self.i.z, self._after, "z")
        p = []
        for k in range(self._config.lxe.side):
            lane = place(m, platform, f"lane{k}", "vrex_softmax_lane", SoftmaxLane)
            m.d.comb += [lane.z.eq(z[k]), lane.maximum.eq(from_key(after))]
            p.append(lane.p)
        return Cat(p)

    def _add(self, m: Module, p: Value, live: Value, factor: Value, places: list[Any]) -> Value:
        """Return l' for the ``p`` that come when l has been multiplied by its ``factor``."""
        m.submodules.row_sum = unit = self._sum
        m.submodules.rescale = rescale = Multiply()
        m.submodules.sums = memory = Memory(shape=32, depth=self._config.lxe.rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        done = self._summed + unit.latency
        m.d.comb += [
            read.addr.eq(places[self.factors - 1][1]),
            rescale.a.eq(Mux(places[self.factors][3], 0, read.data)),
            rescale.b.eq(factor),
            unit.acc.eq(rescale.product),
            unit.p.eq(p),
            unit.live.eq(live),
            write.en.eq(places[done][0]),
            write.addr.eq(places[done][1]),
            write.data.eq(unit.total),
        ]
        return unit.total
