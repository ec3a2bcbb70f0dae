"""The largest difference of a row, by which its weights are normalised."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.lxe.scores.extremes import Largest, larger
from vrex_hw.lxe.scores.sequencer import beat_layout, later
from vrex_hw.vpe import fp32
from vrex_hw.vpe.add import Add


class Span(wiring.Component):
    """Exponent field of the largest difference of the row that a beat belongs to.

    ``maximum``, ``negated``: the row's maximum and what is added to its scores, with a beat's
    scores. ``order``, if ``valid``, and ``differences``: the beat and what came of its scores,
    Add.LATENCY cycles later, when ``largest`` is what its weights need. It is that of maximum +
    negated: differences never fall as scores rise. But where that overflows the largest is among
    the others: for a row that comes as a ``probe`` first it is sought; ``found`` pulses when the
    probe has ended. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "maximum": In(32),
                "negated": In(32),
                "valid": In(1),
                "order": In(beat_layout(config)),
                "differences": In(data.ArrayLayout(32, config.wtu.lanes)),
                "largest": Out(8),
                "found": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Subtract beside the lanes; keep the largest of a probe."""
        m = Module()
        add = place(m, platform, "add", "fp32_add", Add)
        m.submodules.tree = tree = Largest(self._config.wtu.lanes, 8)
        m.d.comb += [add.a.eq(self.maximum), add.b.eq(self.negated)]
        for lane, difference in enumerate(self.differences):
            field = fp32.FP32(difference).exponent
            counts = (lane < self.order.number) & (field != fp32.NOT_FINITE)
            m.d.comb += tree.terms[lane].eq(Mux(counts, field, 0))
        probes, ends, best = Signal(), Signal(), Signal(8)
        m.d.comb += [
            probes.eq(self.valid & self.order.probe),
            ends.eq(self.valid & self.order.last),
        ]
        arrived, ended = later(m, probes, tree.latency), later(m, probes & ends, tree.latency)
        m.d.sync += self.found.eq(ended)
        with m.If(arrived):
            m.d.sync += best.eq(larger(best, tree.largest))
        with m.Elif(ends & ~probes):
            m.d.sync += best.eq(0)
        m.d.comb += self.largest.eq(Mux(self.order.probed, best, fp32.FP32(add.sum).exponent))
        return m
