"""Starts the prediction of a job while the job before it still retrieves, attends and stores."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.core.check import Check
from vrex_hw.core.feeder.layouts import FEED, READ
from vrex_hw.core.jobs import JOB
from vrex_hw.core.settings import SETTINGS
from vrex_hw.kvmu.layouts import FAULT, HEADER, LINE, Fault
from vrex_hw.kvmu.ports import ReadSignature
from vrex_hw.kvmu.table import impossible
from vrex_hw.kvpu.engine import SELECT_JOB, SELECT_PARAMETERS, StartSignature
from vrex_hw.lxe.layouts import Kind

PREDICTED = data.StructLayout(
    {"job": JOB, "sinks": 16, "skip": 16, "out_lines": LINE, "started": 1, "fault": FAULT}
)
"""A job that is ``started``: its clusters are being selected; or that can only end.

``sinks``: the stream's first tokens that are stored already; ``skip``: how many of the frame's
are sinks; ``out_lines`` as :class:`~vrex_hw.core.check.Check` tells; ``fault`` so far."""


class Predictor(wiring.Component):
    """Takes a job, judges it, reads its head's header, and starts its select job and its scores.

    It gives the job on, ``o``, when all that its scores take has come from memory (``scored``
    tells so, and how), and holds it until the sequencer takes it: so the LXE scores for job j + 1
    before it attends for job j. A job waits while one of its head is in the sequencer or attends
    (``same`` says so of the head ``asked``); one with a ``fence`` until all is ``quiet``.

    Its select job has the floor and cap of its stage. Where they are new its rows wait before the
    WTU until the union of the job before has been taken: what that takes the LXE has done before.

    ``busy``: a job is in hand. Latency: that of memory and 9 cycles from a job to its scores. Our
    decision; the paper predicts while it executes.
    """

    def __init__(self, config: Config) -> None:
        """Judge by the bounds of ``config``."""
        self._config = config
        super().__init__(
            {
                "settings": In(SETTINGS),
                "job": In(stream.Signature(JOB)),
                "asked": Out(LINE),
                "same": In(1),
                "quiet": In(1),
                "read": Out(ReadSignature(config)),
                "select": Out(StartSignature(SELECT_JOB, SELECT_PARAMETERS)),
                "feed": Out(stream.Signature(FEED)),
                "scored": In(READ),
                "o": Out(stream.Signature(PREDICTED)),
                "chunks_log2": Out(4),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the steps as states."""
        m = Module()
        m.submodules.check = check = Check(self._config)
        hand, header, rows = Signal(PREDICTED), Signal(HEADER), Signal(16)
        given = self.job.p.descriptor
        m.d.comb += [
            check.job.eq(hand.job),
            check.settings.eq(self.settings),
            self.chunks_log2.eq(check.chunks_log2),
            self.asked.eq(given.state),
            self.o.p.eq(hand),
            self.o.p.out_lines.eq(check.out_lines),
        ]
        self._tell(m, hand, header, rows)
        with m.FSM() as fsm:
            with m.State("TAKE"):
                m.d.comb += self.job.ready.eq(~self.same & (self.quiet | ~given.fence))
                m.d.sync += [hand.job.eq(self.job.p), hand.fault.eq(Fault.NONE)]
                with m.If(self.job.valid & self.job.ready):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += hand.started.eq(0)
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += rows.eq(check.rows)
                m.next = "ASK"
                with m.If(~check.good):
                    m.d.sync += hand.fault.eq(Fault.BAD_JOB)
                    m.next = "GIVE"
            self._read(m, hand, header)
            with m.State("SELECT"), m.If(~self.select.full):
                m.d.comb += self.select.start.eq(1)
                m.d.sync += hand.started.eq(1)
                m.next = "GIVE"
                with m.If(header.sealed != 0):
                    m.next = "SCORE"
            with m.State("SCORE"):
                m.d.comb += self.feed.valid.eq(1)
                with m.If(self.feed.ready):
                    m.next = "SCORED"
            with m.State("SCORED"):
                m.d.sync += hand.fault.eq(self.scored.fault)
                with m.If(self.scored.valid):
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "TAKE"
        m.d.comb += self.busy.eq(~fsm.ongoing("TAKE"))
        return m

    def _tell(self, m: Module, hand: Any, header: Any, rows: Any) -> None:
        """Say what select and score job are; text has a floor and a cap of its own."""
        job, settings = hand.job.descriptor, self.settings
        parameters = {
            "ratio": settings.ratio,
            "k_min": Mux(job.text, settings.text_k_min, settings.k_min),
            "k_max": Mux(job.text, settings.text_k_max, settings.k_max),
        }
        feed = {
            "kind": Kind.SCORE,
            "address": job.q_score,
            "stride": job.q_stride,
            "columns": header.sealed,
            **{name: job[name] for name in ("tokens", "group", "state")},
        }
        m.d.comb += [
            *(self.select.entry.parameters[name].eq(value) for name, value in parameters.items()),
            self.select.entry.job.rows.eq(Mux(header.sealed != 0, rows, 0)),
            *(self.feed.p[name].eq(value) for name, value in feed.items()),
        ]

    def _read(self, m: Module, hand: Any, header: Any) -> None:
        """Read the header, and refuse a frame that the head cannot take: later would be too late.

        Sinks of the stream that are not there yet are the frame's first tokens. Numbers of clusters
        do not run out here: the bounds of the WTU's entries and the HCU's open clusters are less.
        """
        request, line = self.read.request, self.read.line
        sinks, tokens = self.settings.n_sinks, hand.job.descriptor.tokens
        missing = Mux(header.tokens < sinks, sinks - header.tokens, 0)[:16]
        clusters = header.opened + tokens
        m.d.comb += [request.p.address.eq(hand.job.descriptor.state), request.p.lines.eq(1)]
        with m.State("ASK"):
            m.d.comb += request.valid.eq(1)
            with m.If(request.ready):
                m.next = "HEADER"
        with m.State("HEADER"):
            m.d.sync += header.eq(line.data.as_value()[: HEADER.size])
            with m.If(line.valid):
                m.next = "FITS"
                with m.If(line.error):
                    m.d.sync += hand.fault.eq(Fault.MEMORY_READ)
                    m.next = "GIVE"
        with m.State("FITS"):
            m.d.sync += [
                hand.sinks.eq(sinks - missing),
                hand.skip.eq(Mux(missing < tokens, missing, tokens)),
            ]
            m.next = "SELECT"
            for fault, found in (
                (Fault.WINDOW_FULL, clusters - header.sealed > self._config.hcu.open),
                (Fault.STATE_OPEN, impossible(self._config, header)),
            ):
                with m.If(found):
                    m.d.sync += hand.fault.eq(fault)
                    m.next = "GIVE"
