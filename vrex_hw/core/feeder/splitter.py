"""Splits a feed job into commands of as many rows as the LXE takes."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import FEED, SETTINGS, part_layout
from vrex_hw.lxe.layouts import Kind


class Splitter(wiring.Component):
    """Gives the parts of each job (:func:`part_layout`), one command each, in order.

    The rows of a job are its tokens but the skipped for HASH, else its tokens times its query
    heads; the columns of HASH are the ``hyperplanes``. A job without rows has one part, of 0
    rows. Latency 2 cycles to the first part; a part a cycle. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._rows = config.lxe.rows
        super().__init__(
            {
                "feed": In(stream.Signature(FEED)),
                "hyperplanes": In(SETTINGS["hyperplanes"]),
                "part": Out(stream.Signature(part_layout(config))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Multiply once, then count down."""
        m = Module()
        job, left, part = Signal(FEED), Signal(32), self.part
        taken, counted = Signal(), Signal()
        hashes = job.kind == Kind.HASH
        kept = Signal(16)
        m.d.comb += [
            self.feed.ready.eq(~taken),
            kept.eq(Mux(job.skip < job.tokens, job.tokens - job.skip, 0)),
            part.valid.eq(counted),
            part.p.job.eq(job),
            part.p.last.eq(left <= self._rows),
            part.p.rows.eq(Mux(part.p.last, left, self._rows)),
        ]
        with m.If(self.feed.valid & self.feed.ready):
            m.d.sync += [job.eq(self.feed.p), taken.eq(1)]
            with m.If(self.feed.p.kind == Kind.HASH):
                m.d.sync += job.columns.eq(self.hyperplanes)
        with m.If(taken & ~counted):
            m.d.sync += [left.eq(Mux(hashes, kept, job.tokens * job.group)), counted.eq(1)]
        with m.If(part.valid & part.ready):
            m.d.sync += left.eq(left - self._rows)
            with m.If(part.p.last):
                m.d.sync += [taken.eq(0), counted.eq(0)]
        return m
