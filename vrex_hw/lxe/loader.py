"""Fills the tile registers ahead of the passes, from the matrix stream."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.dpe import load_layout
from vrex_hw.lxe.layouts import Kind, Layouts
from vrex_hw.lxe.scores.layouts import counts_layout


class Loader(wiring.Component):
    """Brings each pass's tile into the bank of registers that the pass before does not use.

    ``step``: the passes; ``matrix``: their tiles' rows, ``load_rows`` a beat. ``load`` drives the
    DPE, ``counts`` the count memory of the scores (with a tile's first chunk). ``loaded`` pulses
    when a tile is on its way; ``freed`` must pulse when a pass has read its tile for the last
    time. A batch of scores begins when one of the two banks of scores and counts is free
    (``released`` pulses for each); until then ``blocked`` is high. Throughput: a beat a cycle,
    from one tile to the next as well; latency 1 cycle.

    Source: the double-buffered tile is the paper's; the width of the port is our parameter.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        layouts = Layouts(config)
        super().__init__(
            {
                "step": In(stream.Signature(layouts.step)),
                "matrix": In(stream.Signature(layouts.matrix)),
                "load": Out(load_layout(config.lxe)),
                "counts": Out(counts_layout(config)),
                "loaded": Out(1),
                "freed": In(1),
                "released": In(1),
                "blocked": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count a tile's rows, and the banks that are in use."""
        m = Module()
        load_rows = self._config.lxe.load_rows
        step, height = self.step, self.step.p.height
        index, bank = Signal.like(height), Signal()
        tiles, batches = Signal(2), Signal(2)
        free, take, end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.blocked.eq(step.valid & step.p.opens & batches[1]),
            free.eq(step.valid & ~tiles[1] & ~self.blocked),
            self.matrix.ready.eq(free & (height != 0)),
            take.eq(self.matrix.ready & self.matrix.valid),
            end.eq((take & (index + load_rows >= height)) | (free & (height == 0))),
            step.ready.eq(end),
        ]
        enable = Cat(index + k < height for k in range(load_rows))
        score_chunk = (step.p.kind == Kind.SCORE) & (step.p.chunk == 0)
        m.d.sync += [
            self.load.valid.eq(take),
            self.load.bank.eq(bank),
            self.load.column.eq(step.p.values),
            self.load.index.eq(index),
            self.load.enable.eq(enable),
            self.load.rows.eq(self.matrix.p.rows),
            self.counts.valid.eq(take & score_chunk),
            self.counts.bank.eq(step.p.bank),
            self.counts.word.eq(step.p.tile),
            self.counts.index.eq(index),
            self.counts.enable.eq(enable),
            self.counts.counts.eq(self.matrix.p.counts),
            self.loaded.eq(end),
            tiles.eq(tiles + end - self.freed),
            batches.eq(batches + (end & step.p.opens) - self.released),
        ]
        with m.If(take):
            m.d.sync += index.eq(index + load_rows)
        with m.If(end):
            m.d.sync += [index.eq(0), bank.eq(~bank)]
        return m
