"""The stop rule: walk a histogram from the top to the bin in which the selection ends."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS
from vrex_hw.wtu.layouts import Layouts


class Walk(wiring.Component):
    """Visits one bin a cycle, highest first and empty ones left out, until the rule says stop.

    The selection ends at the first t with t >= k_max, or with t >= k_min and Acc(t) > threshold.
    Both grow with t, so it ends in the first bin at whose end the rule holds. That bin is to be
    taken *whole* if the rule does not hold one cluster earlier: surely so when it has one
    cluster, or ends within k_max and either within k_min or with Acc still no more than the
    threshold. Bins above the crossing one stay counted for the walks that refine it.

    Ports
    -----
    start : begin with ``seen`` of this cycle; with ``fresh``, count from zero.
    seen : bins with a cluster. Bin 0 is walked in any case, so that an empty row ends as well.
    busy, bin : a bin is looked at, and which.
    content : what the bin has, ``latency`` cycles after ``bin`` named it.
    visited : pulses for every bin that counted.
    done : pulses when the walk has ended; the rest is valid then, all from registers.
    crossing : the bin in which the selection ends; 0 if everything is selected.
    whole : all of the crossing bin is selected.
    clusters : how many clusters are in the crossing bin and above.
    """

    def __init__(self, layouts: Layouts, latency: int) -> None:
        """Take widths from ``layouts``; ``latency`` is 1 or more."""
        if latency < 1:
            raise ValueError(f"walk latency is {latency}: 1 or more")
        self._layouts = layouts
        self._latency = latency
        super().__init__(
            {
                "start": In(1),
                "fresh": In(1),
                "seen": In(layouts.bins),
                "busy": Out(1),
                "bin": Out(range(layouts.bins)),
                "content": In(layouts.bin),
                "threshold": In(layouts.sum_bits + 1),
                "k_min": In(NUMBER_BITS),
                "k_max": In(NUMBER_BITS),
                "visited": Out(1),
                "done": Out(1),
                "crossing": Out(range(layouts.bins)),
                "whole": Out(1),
                "clusters": Out(layouts.clusters_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Issue, wait for the adder tree, add up, decide."""
        m = Module()
        stop = Signal()
        arrived, arrived_bin = self._issue(m, stop)
        shapes = self._layouts
        total = Signal(shapes.bin)
        before = Signal(shapes.bin)
        alone = Signal()
        with m.If(arrived):
            m.d.sync += [
                before.eq(total),
                total.mass.eq(total.mass + self.content.mass),
                total.clusters.eq(total.clusters + self.content.clusters),
                alone.eq(self.content.clusters == 1),
            ]
        m.d.sync += self.visited.eq(arrived & ~stop)
        self._decide(m, arrived_bin, total, alone, stop)
        with m.If(stop):
            m.d.sync += total.eq(before)
        with m.If(self.start & self.fresh):
            m.d.sync += total.eq(0)
        return m

    def _decide(
        self, m: Module, arrived_bin: Signal, total: data.View, alone: Signal, stop: Signal
    ) -> None:
        """Apply the rule to ``total``, which ends with the bin that just arrived."""
        current = Signal.like(self.crossing)
        above, within_min, within_max, crossed = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            above.eq(total.mass > self.threshold),
            within_min.eq(total.clusters <= self.k_min),
            within_max.eq(total.clusters <= self.k_max),
            crossed.eq((total.clusters >= self.k_max) | ((total.clusters >= self.k_min) & above)),
            stop.eq(self.visited & (crossed | (current == 0))),
        ]
        m.d.sync += [
            current.eq(arrived_bin),
            self.done.eq(stop),
            self.crossing.eq(current),
            self.whole.eq(alone | (within_max & (within_min | ~above)) | ~crossed),
            self.clusters.eq(total.clusters),
        ]

    def _issue(self, m: Module, stop: Signal) -> tuple[Signal, Signal]:
        """Name the bins one by one; return when one's content is there, and which it is."""
        bins = self._layouts.bins
        pending = Signal(bins)
        for k in range(bins):
            with m.If(pending[k]):
                m.d.comb += self.bin.eq(k)
        with m.If(self.start):
            m.d.sync += pending.eq(self.seen | 1)
        with m.Elif(stop):
            m.d.sync += pending.eq(0)
        with m.Else():
            m.d.sync += pending.eq(pending & ~(1 << self.bin))
        m.d.comb += self.busy.eq(pending.any())
        valid, bin_ = self.busy, self.bin
        for _ in range(self._latency):
            next_valid, next_bin = Signal(), Signal.like(self.bin)
            m.d.sync += [next_valid.eq(valid & ~stop), next_bin.eq(bin_)]
            valid, bin_ = next_valid, next_bin
        return valid, bin_
