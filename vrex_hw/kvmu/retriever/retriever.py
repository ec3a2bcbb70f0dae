"""The retriever: what a job has selected is resident, or comes from the host."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, REQUEST, SEGMENT, Fault
from vrex_hw.kvmu.ports import MapSignature, TransferSignature, WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.allocator import Allocator
from vrex_hw.kvmu.retriever.coalescer import Coalescer
from vrex_hw.kvmu.retriever.lander import Lander
from vrex_hw.kvmu.retriever.layouts import DONE, JOB
from vrex_hw.kvmu.retriever.sweeper import Sweeper
from vrex_hw.kvpu.reader import UNION

COUNTERS = ("chosen", "hits", "requests", "fetched_tokens", "selected_tokens")


class Retriever(wiring.Component):
    """Retrieves what a job has selected: see :mod:`vrex_hw.kvmu` for the whole.

    A ``job`` takes one packet of ``selected`` (the union of the job's rows, ascending). It first
    touches the priorities in the map, while the packet comes (:class:`Sweeper`), then walks over
    the chosen clusters (:class:`Allocator`): each gives a ``segment``, in order, and those that are
    not resident are fetched by ``transfer`` in requests of adjacent clusters
    (:class:`Coalescer`) and written to their slots by ``write`` (:class:`Lander`), while the walk
    goes on. ``done`` comes when everything has landed. The ``map`` is the retriever's from ``job``
    to ``done``. Segments have to be taken, whatever happens.

    The first fault ends a job early: no more is asked for, what is under way is waited for and
    dropped, a pass over the map takes back what was fetched, and ``done`` has the ``fault``. It
    brings back ``used`` as the job had it: no cluster is in a slot that the job gave out first. A
    slot whose cluster gave way to one that did not come stays empty. A job with too many sealed
    clusters (STATE_FULL) or chunks (BAD_JOB) takes its packet and does nothing; who gives it has
    made sure that regions end within the line numbers. The lines of a transfer come before its
    result, or with it; too few are LINK_SHORT.

    The counters, of 32 bits, wrap: clusters ``chosen``; of them the ``hits``; ``requests`` to the
    host; tokens fetched and tokens selected. ``busy``: a job is in hand.

    Cycles: those of the pass and of the walk, or of the fetches, whichever is more, and about 10.
    Source: the paper's KVMU fetches selected clusters; residency and requests are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it for ``config``."""
        self._config = config
        super().__init__(
            {
                "job": In(stream.Signature(JOB)),
                "selected": In(stream.Signature(UNION)),
                "map": Out(MapSignature(config)),
                "segment": Out(stream.Signature(SEGMENT)),
                "transfer": Out(TransferSignature(config)),
                "write": Out(WriteSignature(config)),
                "done": Out(stream.Signature(DONE)),
                "busy": Out(1),
                **{name: Out(32) for name in COUNTERS},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the phases of a job around the units."""
        m = Module()
        m.submodules.sweeper = sweeper = Sweeper(self._config)
        m.submodules.allocator = allocator = Allocator(self._config)
        m.submodules.coalescer = coalescer = Coalescer(self._config)
        m.submodules.lander = lander = Lander(self._config)
        job, fault, failed = Signal(JOB), Signal(FAULT), Signal()
        asked, quiet, refusal = Signal(), Signal(), Signal(FAULT)
        self._share_job(m, job, failed, sweeper, allocator, coalescer, lander)
        self._transfer(m, coalescer, lander, asked)
        self._count(m, allocator, coalescer)
        faults = [sweeper.fault, allocator.fault, coalescer.fault, lander.fault]
        m.d.comb += [
            failed.eq(fault != Fault.NONE),
            quiet.eq(asked & lander.dry),
            refusal.eq(self._refusal()),
            self.done.p.fault.eq(fault),
            self.done.p.used.eq(Mux(failed, job.used, allocator.used)),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
            self._share_map(m, sweeper, allocator, fsm.ongoing("WALK"))
            with m.State("IDLE"):
                m.d.comb += [self.job.ready.eq(1), coalescer.start.eq(1)]
                with m.If(self.job.valid):
                    m.d.sync += [job.eq(self.job.p), fault.eq(refusal)]
                    with m.If(refusal != Fault.NONE):
                        m.d.sync += job.sealed.eq(0)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += sweeper.start.eq(1)
                m.next = "TOUCH"
            with m.State("TOUCH"), m.If(sweeper.ended):
                m.next = "TOUCHED"
            with m.State("TOUCHED"):
                m.d.comb += allocator.start.eq(1)
                m.next = "WALK"
            with m.State("WALK"), m.If(allocator.ended):
                m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.comb += coalescer.flush.eq(1)
                with m.If(quiet & lander.idle & failed):
                    m.d.comb += sweeper.start.eq(1)
                    m.next = "REVERT"
                with m.Elif(quiet & lander.idle):
                    m.next = "DONE"
                with m.Elif(quiet & ~failed):
                    m.d.sync += fault.eq(Fault.LINK_SHORT)
            with m.State("REVERT"):
                m.d.comb += sweeper.revert.eq(1)
                with m.If(sweeper.ended):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.valid.eq(1)
                with m.If(self.done.ready):
                    m.next = "IDLE"
        link = Mux(self.transfer.result.valid, self.transfer.result.fault, Fault.NONE)
        for seen in (*faults, link):
            with m.If(self.busy & ~failed & (seen != Fault.NONE)):
                m.d.sync += fault.eq(seen)
        return m

    def _refusal(self) -> Any:
        """Return the fault of a job that cannot be."""
        beyond = self.job.p.chunks_log2 > Regions(self._config).chunk_bits
        full = self.job.p.sealed > self._config.wtu.entries
        return Mux(full, Fault.STATE_FULL, Mux(beyond, Fault.BAD_JOB, Fault.NONE))

    def _share_job(
        self,
        m: Module,
        job: Any,
        failed: Signal,
        sweeper: Sweeper,
        allocator: Allocator,
        coalescer: Coalescer,
        lander: Lander,
    ) -> None:
        """Give every unit what it needs of the job, and join their streams."""
        connect(m, flipped(self.selected), sweeper.selected)
        connect(m, allocator.segment, flipped(self.segment))
        connect(m, allocator.cluster, coalescer.cluster)
        connect(m, lander.write, flipped(self.write))
        # One more addition in the way of a landing line would be long.
        m.d.sync += lander.resident.eq(job.state + Regions(self._config).resident)
        m.d.comb += [
            *(unit.stop.eq(failed) for unit in (allocator, coalescer, lander)),
            *(unit.sealed.eq(job.sealed) for unit in (sweeper, allocator)),
            *(unit.chunks_log2.eq(job.chunks_log2) for unit in (coalescer, lander)),
            sweeper.policy.eq(job.policy),
            allocator.room.eq(job.room),
            allocator.initial.eq(job.used),
            coalescer.host.eq(job.host),
            coalescer.host_tokens.eq(job.host_tokens),
            coalescer.freed.eq(lander.freed),
            lander.transient.eq(job.transient),
            lander.landing.eq(coalescer.landing),
        ]

    def _transfer(self, m: Module, coalescer: Coalescer, lander: Lander, asked: Signal) -> None:
        """Send the requests and count those under way; ``asked``: there are none, nor will be."""
        under_way = Signal(REQUEST)
        connect(m, coalescer.request, flipped(self.transfer.request))
        m.d.comb += [
            lander.line.eq(self.transfer.line),
            asked.eq(coalescer.idle & (under_way == 0)),
        ]
        m.d.sync += under_way.eq(under_way + coalescer.sent - self.transfer.result.valid)

    def _share_map(self, m: Module, sweeper: Sweeper, allocator: Allocator, walks: Any) -> None:
        """Let the allocator have the map while it ``walks``, the sweeper in all other phases."""
        for unit in (sweeper, allocator):
            m.d.comb += unit.map.data.eq(self.map.data)
        for name in ("read", "address", "write", "write_address", "write_data"):
            mine, theirs = (getattr(unit.map, name) for unit in (allocator, sweeper))
            m.d.comb += getattr(self.map, name).eq(Mux(walks, mine, theirs))

    def _count(self, m: Module, allocator: Allocator, coalescer: Coalescer) -> None:
        """Count what the walk gives and what is asked for."""
        steps = {
            "chosen": allocator.given,
            "hits": allocator.hit,
            "requests": coalescer.sent,
            "fetched_tokens": Mux(allocator.given & ~allocator.hit, allocator.tokens, 0),
            "selected_tokens": Mux(allocator.given, allocator.tokens, 0),
        }
        for name, step in steps.items():
            m.d.sync += getattr(self, name).eq(getattr(self, name) + step)
