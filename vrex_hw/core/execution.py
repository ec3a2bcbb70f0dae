"""What computes: the LXE, with what feeds it from device memory and writes its attention there."""

from typing import Any

from amaranth import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.feeder import FEED, Feeder
from vrex_hw.core.feeder.layouts import READ
from vrex_hw.core.segments import Segments
from vrex_hw.core.settings import SETTINGS
from vrex_hw.core.statuses import ATTENDED
from vrex_hw.core.writer import WRITE, Writer
from vrex_hw.kvmu.layouts import FAULT, SEGMENT, Fault
from vrex_hw.kvmu.ports import ReadSignature, WriteSignature
from vrex_hw.lxe.layouts import COLUMN_BITS, Kind
from vrex_hw.lxe.lxe import LXE
from vrex_hw.lxe.ports import LXESignature
from vrex_hw.merge import Merge

ATTENDS = 4
"""Attentions whose end is waited for: more than there are banks of segments."""
SHOWN = ("hash", "weights", "report", "mean", "nonfinite", "active", "working")
"""What the LXE gives to who is around it."""


class Execution(wiring.Component):
    """Does feed jobs: ``score``, and before it is one of ``feed``, hash bits or an attention.

    ``attend`` says, with an attention's feed job, where its rows go; ``attended``: one of them has
    been read and written, or has a fault, and ``freed`` pulses when that is taken. ``scored`` and
    ``hashed``: all that such a job reads has come. ``segment`` appends to the list of ``bank`` what
    its attention attends, ``empty`` begins it anew, ``columns`` are its tokens so far. The other
    ports are the LXE's, and those to memory.

    Source: the paper's execution, beside which it predicts; the order of jobs is our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``."""
        self._config = config
        lxe = LXESignature(config).members
        super().__init__(
            {
                "settings": In(SETTINGS),
                "chunks_log2": In(4),
                "score": In(stream.Signature(FEED)),
                "feed": In(stream.Signature(FEED)),
                "attend": In(stream.Signature(WRITE)),
                "scored": Out(READ),
                "hashed": Out(READ),
                "attended": Out(stream.Signature(ATTENDED)),
                "freed": Out(1),
                "bank": In(1),
                "empty": In(1),
                "segment": In(stream.Signature(SEGMENT)),
                "columns": Out(COLUMN_BITS),
                "read_rows": Out(ReadSignature(config)),
                "read_matrix": Out(ReadSignature(config)),
                "write": Out(WriteSignature(config)),
                **{name: lxe[name] for name in (*SHOWN, "mean_job", "mean_key", "clear")},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Put the LXE between feeder and writer."""
        m = Module()
        m.submodules.segments = segments = Segments(self._config)
        m.submodules.feeds = feeds = Merge(FEED)
        m.submodules.feeder = feeder = Feeder(self._config)
        m.submodules.lxe = lxe = LXE(self._config)
        m.submodules.writer = writer = Writer(self._config)
        connect(m, flipped(self.segment), segments.segment)
        connect(m, flipped(self.score), feeds.i[0])
        connect(m, flipped(self.feed), feeds.i[1])
        connect(m, feeds.o, feeder.feed)
        connect(m, feeder.segments, segments.port)
        connect(m, feeder.command, lxe.command)
        connect(m, feeder.activation, lxe.activation)
        connect(m, feeder.matrix, lxe.matrix)
        connect(m, lxe.attention, writer.attention)
        connect(m, feeder.read_rows, flipped(self.read_rows))
        connect(m, feeder.read_matrix, flipped(self.read_matrix))
        connect(m, writer.port, flipped(self.write))
        for name in ("hash", "weights", "report", "mean"):
            connect(m, getattr(lxe, name), flipped(getattr(self, name)))
        for name in ("mean_job", "mean_key"):
            connect(m, flipped(getattr(self, name)), getattr(lxe, name))
        m.d.comb += [
            segments.bank.eq(self.bank),
            segments.clear.eq(self.empty),
            self.columns.eq(segments.tokens[self.bank]),
            lxe.clear.eq(self.clear),
            *(getattr(self, n).eq(getattr(lxe, n)) for n in ("nonfinite", "active", "working")),
        ]
        self._set(m, feeder, writer)
        self._report(m, feeder, writer)
        return m

    def _set(self, m: Module, feeder: Feeder, writer: Writer) -> None:
        """Give feeder and writer their settings."""
        settings = self.settings
        m.d.comb += [
            feeder.dimension.eq(settings.dimension),
            feeder.chunks_log2.eq(self.chunks_log2),
            feeder.planes.eq(settings.planes),
            feeder.hyperplanes.eq(settings.n_hyperplanes),
            feeder.scale_score.eq(settings.scale_score),
            feeder.scale_attend.eq(settings.scale_attend),
            feeder.map.eq(settings.score_map),
            feeder.temperature.eq(settings.score_temperature),
            writer.dimension.eq(settings.dimension),
            writer.chunks_log2.eq(self.chunks_log2),
        ]

    def _report(self, m: Module, feeder: Feeder, writer: Writer) -> None:
        """Tell what has been read; an attention ends when it has been written too."""
        m.submodules.writes = writes = SyncFIFO(width=WRITE.size, depth=ATTENDS)
        m.submodules.read = read = SyncFIFO(width=FAULT, depth=ATTENDS)
        fed, done = feeder.fed, writer.done
        m.d.comb += [
            writes.w_data.eq(self.attend.p),
            writes.w_en.eq(self.attend.valid),
            self.attend.ready.eq(writes.w_rdy),
            writer.job.valid.eq(writes.r_rdy),
            writer.job.p.eq(writes.r_data),
            writes.r_en.eq(writer.job.ready),
            fed.ready.eq(1),
            read.w_data.eq(fed.p.fault),
            read.w_en.eq(fed.valid & (fed.p.kind == Kind.ATTEND)),
            self.attended.valid.eq(read.r_rdy & done.valid),
            self.attended.p.fault.eq(Mux(read.r_data != Fault.NONE, read.r_data, done.p.fault)),
            done.ready.eq(self.attended.ready & read.r_rdy),
            read.r_en.eq(self.attended.ready & done.valid),
            self.freed.eq(self.attended.valid & self.attended.ready),
        ]
        for kind, told in ((Kind.SCORE, self.scored), (Kind.HASH, self.hashed)):
            m.d.comb += [
                told.valid.eq(fed.valid & (fed.p.kind == kind)),
                told.fault.eq(fed.p.fault),
            ]
