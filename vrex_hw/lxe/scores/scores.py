"""The score path: keeps raw scores until their row's maximum is known, then makes weights."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.lxe.layouts import FP32, Layouts, ScoreMap
from vrex_hw.lxe.scores.counts import Counts
from vrex_hw.lxe.scores.layouts import counts_layout, words, write_layout
from vrex_hw.lxe.scores.sequencer import Sequencer, beat_layout, later
from vrex_hw.lxe.scores.span import Span
from vrex_hw.lxe.scores.statistics import Statistics
from vrex_hw.lxe.scores.weight import TOP, WEIGHT_BITS, Weight
from vrex_hw.vpe import fp32
from vrex_hw.vpe.add import Add
from vrex_hw.wtu.layouts import Layouts as WTULayouts

READ = 2
"""Cycles from a beat's order to its scores: the memory, then the choice of lanes."""
OUT = 3
"""Cycles from a beat's weights to the output: the queue, then the counts."""


class Scores(wiring.Component):
    """Two batches of raw float32 scores: one is written while the other goes to the WTU.

    Ports
    -----
    write : ``side`` scores of a row, one write a cycle (:func:`write_layout`). The words of a row
        come in any order, the one with ``clear`` first; rows may alternate in any way.
    counts : token counts of the batch's clusters (:func:`counts_layout`).
    drain : a batch that is complete, in the cycle of its last write or later: rows 0 .. rows - 1
        of ``columns`` clusters, each with the weights of ``map`` and ``temperature`` (a power of
        two, by its exponent, -4 to 4). Two can queue up. ``rows`` is 1 to score_rows; a row of
        more columns than ``wtu.entries`` has all its beats, by which the WTU refuses it, but
        weights and counts that mean nothing.
    weights : the rows as the WTU takes them: lane l of beat b is cluster b * lanes + l. A row of
        no columns is one beat without a valid lane. Lanes that are not valid hold anything.
    released : a pulse when the older batch has been read: its bank may be written again.

    Weights are those of ``resv_ref.numerics.maps.weights``. Throughput: a beat a cycle, from row
    to row and from batch to batch; only under shift_min, in a batch with scores of 2^126 or more,
    whose differences may overflow, a row takes its beats twice and some 20 cycles on top. Latency
    from a drain to its first weights: :attr:`latency`. Source: that a batch rests until its
    maximum is known is our decision (docs/scores.md).
    """

    def __init__(self, config: Config) -> None:
        """Generate for ``config``, which was checked when it was made."""
        self._config = config
        super().__init__(
            {
                "write": In(write_layout(config)),
                "counts": In(counts_layout(config)),
                "drain": In(stream.Signature(Layouts(config).drain)),
                "weights": Out(stream.Signature(WTULayouts(config.wtu).row)),
                "released": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a drain that finds the path empty to its first beat of weights."""
        settle = exact_log2(self._config.lxe.side) + 3
        return settle + self._beat_latency

    @property
    def _beat_latency(self) -> int:
        """Cycles from the order to read a beat to its weights at the output."""
        return READ + Add.LATENCY + Weight.LATENCY + OUT

    def elaborate(self, platform: Any) -> Module:
        """Connect memories, lanes and output to the sequencer."""
        m = Module()
        # Enough that the first of so many beats has left when the last is ordered.
        credits = 1 << self._beat_latency.bit_length()
        m.submodules.statistics = statistics = Statistics(self._config)
        sequencer = Sequencer(self._config, statistics.latency, credits)
        m.submodules.sequencer = sequencer
        wiring.connect(m, wiring.flipped(self.drain), sequencer.drain)
        order = sequencer.beat
        m.d.comb += [
            statistics.write.eq(self.write),
            statistics.line.eq(order.line),
            sequencer.huge.eq(statistics.huge),
        ]
        scores = self._read(m, sequencer.goes, order)
        weights = self._weigh(m, platform, order, scores, statistics, sequencer)
        weighed = READ + Add.LATENCY + Weight.LATENCY
        order = fp32.delay(m, order, weighed, "order_weighed")
        arrived = later(m, sequencer.goes, weighed) & ~order.probe
        self._output(m, arrived, order, weights, credits, statistics, sequencer)
        return m

    def _read(self, m: Module, goes: Value, order: Any) -> data.View:
        """Store what is written; return the scores of ``order``, READ cycles later."""
        lxe, lanes = self._config.lxe, self._config.wtu.lanes
        row_words = words(self._config)
        m.submodules.memory = memory = Memory(
            shape=lxe.side * FP32, depth=2 * lxe.score_rows * row_words, init=[]
        )
        store, load = memory.write_port(), memory.read_port()
        part = order.beat[: exact_log2(lxe.side // lanes)]
        line = Signal.like(order.line)
        m.d.comb += [
            line.eq(self.write.row + self.write.bank * lxe.score_rows),
            store.addr.eq(Cat(self.write.word, line)),
            store.data.eq(self.write.scores),
            store.en.eq(self.write.valid),
            load.addr.eq(Cat(order.beat[len(part) :], order.line)),
            load.en.eq(goes & (part == 0)),
        ]
        width = lanes * FP32
        scores = Signal(data.ArrayLayout(FP32, lanes), reset_less=True)
        now = fp32.delay(m, part, 1, "part")
        m.d.sync += scores.eq(load.data.word_select(now, width))
        return scores

    def _weigh(
        self,
        m: Module,
        platform: Any,
        order: Any,
        scores: data.View,
        statistics: Statistics,
        sequencer: Sequencer,
    ) -> Value:
        """Return the weights of ``scores``, Add.LATENCY + Weight.LATENCY cycles later."""
        m.submodules.span = span = Span(self._config)
        now = fp32.delay(m, order, READ - 1, "order_read")
        maximum, negated = Signal(FP32, reset_less=True), Signal(FP32, reset_less=True)
        reference = Mux(now.map == ScoreMap.EXP, statistics.maximum, statistics.minimum)
        none = Const(0, FP32)
        m.d.sync += [
            maximum.eq(statistics.maximum),
            # Subtracting is adding with the sign flipped.
            negated.eq(Mux(now.map == ScoreMap.RELU, none, reference) ^ (1 << FP32 - 1)),
        ]
        now = fp32.delay(m, now, 1 + Add.LATENCY, "order_subtracted")
        exponential = now.map == ScoreMap.EXP
        base = Mux(exponential, TOP + now.temperature.as_signed(), span.largest)
        m.d.comb += [
            span.maximum.eq(maximum),
            span.negated.eq(negated),
            span.valid.eq(later(m, sequencer.goes, READ + Add.LATENCY)),
            span.order.eq(now),
            sequencer.found.eq(span.found),
        ]
        weights = []
        for lane, score in enumerate(scores):
            add = place(m, platform, f"add{lane}", "fp32_add", Add)
            weight = place(m, platform, f"weight{lane}", "scores_weight", Weight)
            m.d.comb += [
                add.a.eq(score),
                add.b.eq(negated),
                span.differences[lane].eq(add.sum),
                weight.difference.eq(add.sum),
                weight.exponential.eq(exponential),
                weight.base.eq(base),
            ]
            weights.append(weight.weight)
        return Cat(weights)

    def _output(
        self,
        m: Module,
        arrived: Value,
        order: Any,
        weights: Value,
        credits: int,
        statistics: Statistics,
        sequencer: Sequencer,
    ) -> None:
        """Queue the weights; join them with their counts, which are read meanwhile."""
        lanes = self._config.wtu.lanes
        layout = data.StructLayout(
            {"order": beat_layout(self._config), "weights": data.ArrayLayout(WEIGHT_BITS, lanes)}
        )
        m.submodules.queue = queue = SyncFIFOBuffered(width=layout.size, depth=credits)
        m.submodules.counts = counts = Counts(self._config)
        head, shown = layout(queue.r_data), Signal(layout, reset_less=True)
        full, pop = Signal(), Signal()
        m.d.comb += [
            queue.w_data.eq(Cat(order, weights)),
            queue.w_en.eq(arrived),
            pop.eq(queue.r_rdy & (~full | self.weights.ready)),
            queue.r_en.eq(pop),
            sequencer.taken.eq(pop),
            counts.write.eq(self.counts),
            counts.read.eq(pop),
            counts.bank.eq(head.order.bank),
            counts.beat.eq(head.order.beat),
            self.released.eq(pop & head.order.final),
            statistics.forget.eq(self.released << head.order.bank),
            self.weights.valid.eq(full),
            self.weights.p.last.eq(shown.order.last),
        ]
        with m.If(pop):
            m.d.sync += [shown.eq(head), full.eq(1)]
        with m.Elif(self.weights.ready):
            m.d.sync += full.eq(0)
        for lane in range(lanes):
            m.d.comb += [
                self.weights.p.lanes[lane].weight.eq(shown.weights[lane]),
                self.weights.p.lanes[lane].count.eq(counts.counts[lane]),
                self.weights.p.lanes[lane].valid.eq(lane < shown.order.number),
            ]
