"""The WiCSum threshold unit: an exact, early-exit selection of a row's clusters."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS, WTUConfig
from vrex_hw.wtu.emitter import Emitter
from vrex_hw.wtu.lane import Lane, Task
from vrex_hw.wtu.layouts import RATIO_BITS, Layouts
from vrex_hw.wtu.prefix import Prefix
from vrex_hw.wtu.sequencer import Sequencer
from vrex_hw.wtu.threshold import Threshold
from vrex_hw.wtu.tree import AdderTree
from vrex_hw.wtu.walk import Walk

COUNTERS = ("rows", "reads", "buckets", "busy", "stalled_in", "stalled_out")
RESULT = ("done", "crossing", "whole", "clusters")
WALK_CYCLES = 3
"""Of a walk, besides the adder tree and a cycle a bucket."""


class WTU(wiring.Component):
    """Selects from each row exactly the clusters of the sorted definition.

    Sort a row's clusters by weight, largest first, equal weights by ascending number. Stop at the
    first t with t >= k_max, or with t >= k_min and Acc(t) * 2^16 > ratio * Sum, where Acc and Sum
    add weight * count; never reached: all. All in integers, exact, independent of order.

    Our decision how: a radix select on the key {weight, ~number}. While the row streams in, each
    lane histograms it by octave of the weight. Walking the bins from the top finds the crossing
    bin; a *round* reads the row and histograms that bin by the key's next ``digit_bits`` bits;
    rounds go on until the crossing bin is one cluster or is taken whole, and one more reading
    emits the result. Candidate buffers that hold all that matters are read in place of the row.

    Throughput: a row takes a cycle for each of its beats, for each reading and for each bucket
    that is visited, :attr:`cycles_a_row` on top and :attr:`cycles_a_round` for each round, of
    which there are at most :attr:`most_rounds`; stalls on either side come on top. The next row
    is taken when the trailer is.

    Ports
    -----
    row : a packet is a row; lane l of beat b is cluster b * lanes + l, unless ``valid`` is 0.
    selected : clusters word * lanes + l where lane l has a hit, each once, in any order; then
        the trailer (``last``): ``number`` of clusters selected, or ``error`` where the row was
        longer than ``entries``; such a row is taken to its end and selects nothing.
    ratio : units of 2^-16, 0 to 65536. k_min, k_max : clusters; 0xFFFF is no cap. All three are
        held from a row's last beat to its trailer.
    rows, reads, buckets : rows finished; cycles that read row memory or candidate buffers; bins
        visited. busy, stalled_in, stalled_out : cycles with a row in the unit, of these waiting
        for the row, for the selection to be taken. All modulo 2^32.
    """

    def __init__(self, config: WTUConfig) -> None:
        """Generate for ``config``, which was checked when it was made."""
        self._config = config
        self._layouts = shapes = Layouts(config)
        super().__init__(
            {
                "row": In(stream.Signature(shapes.row)),
                "selected": Out(stream.Signature(shapes.selected)),
                "ratio": In(RATIO_BITS),
                "k_min": In(NUMBER_BITS),
                "k_max": In(NUMBER_BITS),
                **{name: Out(32) for name in COUNTERS},
            }
        )

    @property
    def config(self) -> WTUConfig:
        """The sizes it was generated for."""
        return self._config

    @property
    def cycles_a_row(self) -> int:
        """Cycles that every row takes besides beats, readings, buckets and rounds.

        One more where the last reading has a hit.
        """
        walk = self._config.lane_bits + WALK_CYCLES
        return Lane.LATENCY + self._layouts.chunks + walk + Lane.LATENCY + 1

    @property
    def cycles_a_round(self) -> int:
        """Cycles that a round takes besides readings and buckets."""
        return Lane.LATENCY + 1 + self._config.lane_bits + WALK_CYCLES

    @property
    def most_rounds(self) -> int:
        """Most rounds of any row: digits of the key below the weight's leading one."""
        return -(-(self._layouts.key_bits - 1) // self._config.digit_bits)

    def elaborate(self, platform: object) -> Module:
        """Connect lanes, trees, walk and emitter under the sequencer."""
        m = Module()
        shapes = self._layouts
        m.submodules.threshold = threshold = Threshold(shapes)
        m.submodules.prefix = prefix = Prefix(shapes)
        m.submodules.sequencer = sequencer = Sequencer(shapes, shapes.chunks)
        m.submodules.emitter = emitter = Emitter(shapes)
        lanes = [Lane(shapes, number) for number in range(self._config.lanes)]
        mass_tree = AdderTree(len(lanes), shapes.bin_lane["mass"].width)
        clusters_tree = AdderTree(len(lanes), shapes.bin_lane["clusters"].width)
        m.submodules.mass_tree, m.submodules.clusters_tree = mass_tree, clusters_tree
        m.submodules.walk = walk = Walk(shapes, mass_tree.latency + 1)
        for number, lane in enumerate(lanes):
            m.submodules[f"lane{number}"] = lane
            m.d.comb += [
                *self._steer(lane, sequencer),
                lane.input.eq(self.row.p.lanes[number]),
                lane.prefix.eq(prefix.value),
                lane.bin.eq(walk.bin),
                lane.look.eq(walk.busy),
                threshold.masses[number].eq(lane.mass),
                mass_tree.terms[number].eq(lane.content.mass),
                clusters_tree.terms[number].eq(lane.content.clusters),
                emitter.beat[number].eq(lane.result),
            ]
        m.d.comb += [
            sequencer.more.eq(_any(lane.more for lane in lanes)),
            sequencer.overflow.eq(_any(lane.overflow for lane in lanes)),
            walk.seen.eq(_any(lane.seen for lane in lanes)),
            walk.content.mass.eq(mass_tree.total),
            walk.content.clusters.eq(clusters_tree.total),
        ]
        self._connect(m, sequencer, threshold, walk, prefix, emitter)
        self._count(m, sequencer, walk)
        return m

    def _steer(self, lane: Lane, sequencer: Sequencer) -> list[Any]:
        """Give a lane its orders."""
        names = ("source", "task", "above", "index", "store", "enable", "turn")
        return [getattr(lane, name).eq(getattr(sequencer, name)) for name in names]

    def _connect(
        self,
        m: Module,
        sequencer: Sequencer,
        threshold: Threshold,
        walk: Walk,
        prefix: Prefix,
        emitter: Emitter,
    ) -> None:
        """Connect what is there once."""
        filling = sequencer.task == Task.FILL
        m.d.comb += [
            sequencer.row_valid.eq(self.row.valid),
            sequencer.row_last.eq(self.row.p.last),
            self.row.ready.eq(sequencer.row_ready),
            threshold.ratio.eq(self.ratio),
            threshold.add.eq(sequencer.arrived & filling),
            threshold.last.eq(sequencer.last),
            walk.threshold.eq(threshold.threshold),
            walk.k_min.eq(self.k_min),
            walk.k_max.eq(self.k_max),
            walk.start.eq(sequencer.start),
            walk.fresh.eq(sequencer.fresh),
            *(getattr(sequencer, n).eq(getattr(walk, n)) for n in RESULT),
            prefix.octave.eq(sequencer.octave),
            prefix.digit.eq(sequencer.digit),
            prefix.bin.eq(walk.crossing),
            emitter.arrived.eq(sequencer.arrived & (sequencer.task == Task.EMIT)),
            emitter.reserve.eq(sequencer.reserve),
            emitter.end.eq(sequencer.end),
            emitter.number.eq(sequencer.number),
            emitter.error.eq(sequencer.error),
            sequencer.room.eq(emitter.room),
            sequencer.ended.eq(emitter.ended),
        ]
        wiring.connect(m, emitter.selected, wiring.flipped(self.selected))

    def _count(self, m: Module, sequencer: Sequencer, walk: Walk) -> None:
        """Advance the counters."""
        inside = Signal()
        started = self.row.valid & self.row.ready
        with m.If(started):
            m.d.sync += inside.eq(1)
        with m.Elif(sequencer.ended):
            m.d.sync += inside.eq(0)
        events = {
            "rows": sequencer.ended,
            "reads": sequencer.reading,
            "buckets": walk.visited,
            "busy": inside | started,
            "stalled_in": inside & self.row.ready & ~self.row.valid,
            "stalled_out": self.selected.valid & ~self.selected.ready,
        }
        for name, event in events.items():
            counter = getattr(self, name)
            m.d.sync += counter.eq(counter + event)


def _any(values: Iterable[Any]) -> Any:
    """Return the OR of ``values``, bit by bit."""
    return reduce(or_, values)
