"""Where the activation rows of a command lie."""

from typing import Any

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import ROW_TAG, chunks_log2_bits, fetch_layout, part_layout
from vrex_hw.core.row_walk import RowWalk
from vrex_hw.lxe.layouts import Kind


class Rows(wiring.Component):
    """Asks for the rows of each part, a burst of all its ``1 << chunks_log2`` chunks a row.

    A part is held until its last row has been asked for. The tag is the row's limit: row t of a
    head of an ATTEND sees what was before the frame, and the frame up to itself. Latency 1 cycle
    a job, 1 more for each token that HASH skips; a row a cycle.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "part": In(stream.Signature(part_layout(config))),
                "chunks_log2": In(chunks_log2_bits(config)),
                "fetch": Out(stream.Signature(fetch_layout(ROW_TAG))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Walk through the job's rows, from part to part."""
        m = Module()
        m.submodules.walk = walk = RowWalk(self._config)
        part, fetch = self.part, self.fetch
        job = part.p.job
        begun, done = Signal(), Signal.like(part.p.rows)
        skipped, last, empty = Signal(), Signal(), Signal()
        chunks = Signal.like(walk.chunks)
        m.d.comb += [
            chunks.eq(Const(1) << self.chunks_log2),
            empty.eq(part.p.rows == 0),
            skipped.eq((job.kind == Kind.HASH) & (walk.token < job.skip) & ~empty),
            last.eq(empty | (done == part.p.rows - 1)),
            walk.start.eq(part.valid & ~begun),
            walk.address.eq(job.address),
            walk.tokens.eq(job.tokens),
            walk.stride.eq(job.stride),
            walk.chunks.eq(chunks),
            walk.step.eq(part.valid & begun & (skipped | fetch.ready)),
            fetch.valid.eq(part.valid & begun & ~skipped),
            fetch.p.address.eq(walk.line),
            fetch.p.lines.eq(Mux(empty, 0, chunks)),
            fetch.p.last.eq(last & part.p.last),
            part.ready.eq(fetch.valid & fetch.ready & last),
        ]
        with m.If(job.kind == Kind.ATTEND):
            m.d.comb += fetch.p.tag.limit.eq(job.columns - job.tokens + 1 + walk.token)
        with m.If(walk.start):
            m.d.sync += begun.eq(1)
        with m.If(fetch.valid & fetch.ready):
            m.d.sync += done.eq(Mux(last, 0, done + 1))
            with m.If(fetch.p.last):
                m.d.sync += begun.eq(0)
        return m
