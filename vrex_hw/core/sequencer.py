"""The order of a job's steps, while the LXE still attends for the job before."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.attends import Attends
from vrex_hw.core.check import Check
from vrex_hw.core.feeder.layouts import FED, FEED
from vrex_hw.core.jobs import JOB
from vrex_hw.core.open_walk import OPEN_CLUSTER, OpenWalk
from vrex_hw.core.settings import SETTINGS
from vrex_hw.core.statuses import ENDED
from vrex_hw.core.writer import WRITE
from vrex_hw.hcu.loader import MOST_CLUSTERS
from vrex_hw.kvmu import table
from vrex_hw.kvmu.layouts import FAULT, HEADER, LINE, SEGMENT, Area, Fault
from vrex_hw.kvmu.ports import OpenSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import DONE as RETRIEVED
from vrex_hw.kvmu.retriever.layouts import JOB as RETRIEVE
from vrex_hw.kvmu.storer.layouts import DONE as STORED
from vrex_hw.kvmu.storer.layouts import job_layout as store_layout
from vrex_hw.kvpu.engine import (
    CLUSTER_JOB,
    CLUSTER_PARAMETERS,
    SELECT_JOB,
    SELECT_PARAMETERS,
    StartSignature,
)
from vrex_hw.lxe.layouts import COLUMN_BITS, Kind

COUNTED = data.StructLayout({"chosen": 32, "hits": 32, "fetched": LINE})
"""Counters of the retriever, of which a job's status tells its own part."""


class Sequencer(wiring.Component):
    """Takes one job after the other through its steps; the units do them.

    1. load the head's table; 2. score the sealed clusters and select (the LXE and the WTU); hash
    and cluster the frame (the LXE and the HCU); 3. retrieve what was selected; list what the frame
    attends; 4. attend; 5. store the frame; 6. save the table.

    Step 4 is handed to the feeder only when the next job has handed over its step 2, or when
    there is none, so that the LXE scores for a job before it attends for the one before. Steps 3,
    5 and 6, and the WTU's and the HCU's part of 2, then run beside attention. A job waits until
    no job of its head attends any more; one with a ``fence`` until every job has ended.

    A fault ends a job's retrieval, and it does not attend; its frame is stored all the same, and
    the head goes on. A fault in storing, hashing or in the table leaves the head's state busy.

    ``freed`` pulses when an attention has been written. Source: the paper's overlap of prediction
    and execution; the order is our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the streams of ``config``."""
        self._config, self._regions = config, Regions(config)
        super().__init__(
            {
                "settings": In(SETTINGS),
                "job": In(stream.Signature(JOB)),
                "ended": Out(stream.Signature(ENDED)),
                "freed": In(1),
                "idle": In(1),
                "busy": Out(1),
                "load": Out(stream.Signature(table.LOAD)),
                "loaded": In(stream.Signature(table.LOADED)),
                "save": Out(stream.Signature(table.STORE)),
                "saved": In(stream.Signature(table.STORED)),
                "open": Out(OpenSignature(config)),
                "open_cluster": Out(stream.Signature(OPEN_CLUSTER)),
                "cluster": Out(StartSignature(CLUSTER_JOB, CLUSTER_PARAMETERS)),
                "select": Out(StartSignature(SELECT_JOB, SELECT_PARAMETERS)),
                "feed": Out(stream.Signature(FEED)),
                "attend": Out(stream.Signature(WRITE)),
                "fed": In(stream.Signature(FED, always_ready=True)),
                "bank": Out(1),
                "clear": Out(1),
                "segment": Out(stream.Signature(SEGMENT)),
                "columns": In(COLUMN_BITS),
                "retrieve": Out(stream.Signature(RETRIEVE)),
                "retrieved": In(stream.Signature(RETRIEVED)),
                "found": In(stream.Signature(SEGMENT)),
                "counted": In(COUNTED),
                "store": Out(stream.Signature(store_layout(config))),
                "stored": In(stream.Signature(STORED)),
                "storing": Out(1),
                "chunks_log2": Out(4),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the steps as states, and what they hold of the job in hand."""
        m = Module()
        m.submodules.check = check = Check(self._config)
        m.submodules.attends = attends = Attends()
        m.submodules.walk = walk = OpenWalk(self._config)
        hand = _Hand()
        connect(m, walk.open, flipped(self.open))
        m.d.comb += [
            check.job.eq(hand.job),
            check.settings.eq(self.settings),
            hand.rows.eq(check.rows),
            hand.chunks_log2.eq(check.chunks_log2),
            hand.out_lines.eq(check.out_lines),
            attends.freed.eq(self.freed),
            attends.own.eq(hand.job.descriptor.state),
            attends.asked.eq(self.job.p.descriptor.state),
            walk.sealed.eq(hand.header.sealed),
            walk.opened.eq(hand.header.opened),
            self.open_cluster.p.eq(walk.cluster.p),
            self.bank.eq(attends.bank),
            self.chunks_log2.eq(check.chunks_log2),
        ]
        self._payloads(m, hand, attends)
        with m.If(self.fed.valid & (self.fed.p.fault != Fault.NONE)):
            with m.If(self.fed.p.kind == Kind.HASH):
                m.d.sync += hand.spoilt.eq(1)
            with m.If((self.fed.p.kind != Kind.ATTEND) & (hand.fault == Fault.NONE)):
                m.d.sync += hand.fault.eq(self.fed.p.fault)
        with m.FSM() as fsm:
            self._begin(m, hand, check, attends)
            self._predict(m, hand, walk)
            self._retrieve(m, hand, attends, walk)
            self._keep(m, hand)
        resting = fsm.ongoing("TAKE")
        m.d.comb += self.busy.eq(~resting | self.job.valid | hand.held | attends.some | ~self.idle)
        return m

    def _payloads(self, m: Module, hand: "_Hand", attends: Attends) -> None:
        """Say what each unit is told of the job in hand."""
        job, header, settings = hand.job.descriptor, hand.header, self.settings
        area = self._config.wtu.entries << self._regions.slot_bits
        transient = Signal(LINE)
        m.d.comb += transient.eq(settings.transient + Mux(attends.bank, area, 0))
        for starter in (self.cluster, self.select):
            given = starter.entry.parameters
            m.d.comb += [given[n].eq(settings[n]) for n in given.shape().members]
        own = {"chunks_log2": hand.chunks_log2, "sealed": header.sealed}
        own |= {name: job[name] for name in ("state", "host", "host_tokens")}
        shared = {name: job[name] for name in ("k", "v", "kv_stride", "tokens", "group", "state")}
        fields: list[tuple[Any, dict[str, Any]]] = [
            (self.load.p, {"state": job.state}),
            (self.save.p, {"state": job.state, "header": hand.after}),
            (self.select.entry.job, {"rows": Mux(header.sealed != 0, hand.rows, 0)}),
            (
                self.cluster.entry.job,
                {
                    "first_index": (header.tokens + hand.skip)[:16],
                    "tokens": job.tokens - hand.skip,
                    "base": header.sealed,
                    "entries": header.opened - header.sealed,
                },
            ),
            (
                self.retrieve.p,
                {
                    **own,
                    "transient": transient,
                    "used": header.used,
                    "room": settings.resident_room,
                    "policy": settings.policy,
                },
            ),
            (
                self.store.p,
                {
                    **own,
                    **{name: job[name] for name in ("k", "v", "kv_stride", "tokens")},
                    "dimension": settings.dimension,
                    "skip": hand.skip,
                    "start": header.tokens,
                    "opened": header.opened,
                    "offloaded": header.offloaded,
                },
            ),
            (hand.feed, {**shared, "bank": attends.bank, "transient": transient}),
            (self.ended.p, {"id": job.id, "fault": hand.fault, "attends": hand.attends}),
            (
                hand.write,
                {
                    "out": job.out,
                    "stride": job.q_stride,
                    "tokens": job.tokens,
                    "group": job.group,
                    "base": job.out,
                    "size": hand.out_lines,
                },
            ),
        ]
        for target, values in fields:
            m.d.comb += [target[name].eq(value) for name, value in values.items()]
        m.d.comb += [
            self.ended.p[name].eq(self.counted[name] - hand.counted[name])
            for name in COUNTED.members
        ]
        m.d.comb += [self.feed.p.eq(hand.feed), self.attend.p.eq(hand.held_write)]

    def _begin(self, m: Module, hand: "_Hand", check: Check, attends: Attends) -> None:
        """Take a job when it may begin, judge it, load its head's table."""
        job = hand.job.descriptor
        fence = self.job.p.descriptor.fence & (attends.some | ~self.idle)
        waits = fence | attends.same
        with m.State("TAKE"):
            with m.If(hand.held & (waits | ~self.job.valid)):
                m.next = "FEED HELD"
            with m.Else():
                m.d.comb += self.job.ready.eq(~waits)
            with m.If(self.job.valid & self.job.ready):
                m.d.sync += [
                    hand.job.eq(self.job.p),
                    hand.fault.eq(Fault.NONE),
                    hand.spoilt.eq(0),
                    hand.attends.eq(0),
                    hand.counted.eq(self.counted),
                    hand.taken.eq(1),
                ]
                m.next = "CHECK"
        with m.State("CHECK"):
            m.next = "JUDGE"
        with m.State("JUDGE"):
            m.next = "LOAD"
            with m.If(~check.good):
                m.d.sync += hand.fault.eq(Fault.BAD_JOB)
                m.next = "END"
        with m.State("LOAD"):
            m.d.comb += self.load.valid.eq(1)
            with m.If(self.load.ready):
                m.next = "LOADED"
        with m.State("LOADED"):
            m.d.comb += self.loaded.ready.eq(1)
            m.d.sync += hand.header.eq(self.loaded.p.header)
            with m.If(self.loaded.valid):
                m.next = "SKIP"
                with m.If(self.loaded.p.fault != Fault.NONE):
                    m.d.sync += hand.fault.eq(self.loaded.p.fault)
                    m.next = "END"
        with m.State("SKIP"):
            # Sinks of the stream that are not there yet are the frame's first tokens.
            sinks, tokens = self.settings.n_sinks, job.tokens
            missing = Mux(hand.header.tokens < sinks, sinks - hand.header.tokens, 0)[:16]
            m.d.sync += [
                hand.sinks.eq(sinks - missing),
                hand.skip.eq(Mux(missing < tokens, missing, tokens)),
            ]
            m.next = "FITS"
        with m.State("FITS"):
            # What the HCU would refuse, it is not asked: its refusal would come too late.
            clusters = hand.header.opened + job.tokens
            m.next = "SELECT"
            with m.If(clusters - hand.header.sealed > self._config.hcu.open):
                m.d.sync += hand.fault.eq(Fault.WINDOW_FULL)
                m.next = "END"
            with m.If(clusters > MOST_CLUSTERS):
                m.d.sync += hand.fault.eq(Fault.STATE_FULL)
                m.next = "END"

    def _predict(self, m: Module, hand: "_Hand", walk: OpenWalk) -> None:
        """Start the select and the cluster job, and the commands that they live on."""
        job, some = hand.job.descriptor, hand.skip != hand.job.descriptor.tokens
        with m.State("SELECT"), m.If(~self.select.full):
            m.d.comb += self.select.start.eq(1)
            m.next = "FEED SCORE"
        with m.State("FEED SCORE"):
            m.d.comb += [
                hand.feed.kind.eq(Kind.SCORE),
                hand.feed.address.eq(job.q_score),
                hand.feed.stride.eq(job.q_stride),
                hand.feed.columns.eq(hand.header.sealed),
                self.feed.valid.eq(hand.header.sealed != 0),
            ]
            with m.If(self.feed.ready | ~self.feed.valid):
                m.next = "CLUSTER"
        with m.State("CLUSTER"), m.If(~self.cluster.full):
            m.d.comb += self.cluster.start.eq(some)
            m.next = "FEED HASH"
        with m.State("FEED HASH"):
            m.d.comb += [
                hand.feed.kind.eq(Kind.HASH),
                hand.feed.address.eq(job.k_hash),
                hand.feed.stride.eq(job.kv_stride),
                hand.feed.skip.eq(hand.skip),
                self.feed.valid.eq(some),
            ]
            with m.If(self.feed.ready | ~self.feed.valid):
                m.next = "FEED HELD"
        with m.State("FEED HELD"):
            m.d.comb += [
                self.feed.p.eq(hand.held_feed),
                self.feed.valid.eq(hand.held),
                self.attend.valid.eq(hand.held & self.feed.ready),
            ]
            with m.If(self.feed.ready | ~hand.held):
                m.d.sync += hand.held.eq(0)
                m.next = "TAKE"
                with m.If(hand.taken):
                    m.d.comb += walk.begin.eq(some)
                    m.next = "TABLE"
        with m.State("TABLE"):
            m.d.comb += [
                self.open_cluster.valid.eq(walk.cluster.valid),
                walk.cluster.ready.eq(self.open_cluster.ready),
            ]
            with m.If(~walk.busy):
                m.next = "BANK"

    def _retrieve(self, m: Module, hand: "_Hand", attends: Attends, walk: OpenWalk) -> None:
        """Fetch what was selected, list what the frame attends, keep its attention for later."""
        segment, entry = self.segment, walk.cluster.p.entry
        with m.State("BANK"):
            m.d.comb += self.clear.eq(1)
            with m.If(attends.free):
                m.next = "SINKS"
        with m.State("SINKS"):
            self._list(m, Area.SINKS, 0, hand.sinks)
            with m.If(segment.ready):
                m.next = "RETRIEVE"
        with m.State("RETRIEVE"):
            m.d.comb += self.retrieve.valid.eq(1)
            with m.If(self.retrieve.ready):
                m.next = "RETRIEVED"
        with m.State("RETRIEVED"):
            m.d.comb += [
                segment.valid.eq(self.found.valid),
                segment.p.eq(self.found.p),
                self.found.ready.eq(segment.ready),
                self.retrieved.ready.eq(1),
            ]
            with m.If(self.retrieved.valid):
                m.d.sync += hand.after.used.eq(self.retrieved.p.used)
                m.next = "OPEN"
                with m.If(self.retrieved.p.fault != Fault.NONE):
                    m.d.sync += hand.fault.eq(self.retrieved.p.fault)
                with m.If((self.retrieved.p.fault | hand.fault) != Fault.NONE):
                    m.next = "STORE"
                with m.Else():
                    m.d.comb += walk.begin.eq(1)
        with m.State("OPEN"):
            self._list(m, Area.WINDOW, walk.cluster.p.slot, entry.count, walk.cluster.valid)
            m.d.comb += walk.cluster.ready.eq(segment.ready)
            with m.If(~walk.busy):
                m.next = "FRAME"
        with m.State("FRAME"):
            self._list(m, Area.FRAME, 0, hand.job.descriptor.tokens)
            with m.If(segment.ready):
                m.next = "HOLD"
        with m.State("HOLD"):
            m.d.comb += [
                hand.feed.kind.eq(Kind.ATTEND),
                hand.feed.address.eq(hand.job.descriptor.q),
                hand.feed.stride.eq(hand.job.descriptor.q_stride),
                hand.feed.columns.eq(self.columns),
                attends.take.eq(1),
            ]
            m.d.sync += [hand.held_feed.eq(hand.feed), hand.held_write.eq(hand.write)]
            m.d.sync += [hand.held.eq(1), hand.attends.eq(1)]
            m.next = "STORE"

    def _keep(self, m: Module, hand: "_Hand") -> None:
        """Store the frame, save the table, end the job."""
        header, stored = hand.header, self.stored.p
        with m.State("STORE"):
            m.d.comb += [self.store.valid.eq(1), self.storing.eq(1)]
            with m.If(self.store.ready):
                m.next = "STORED"
        with m.State("STORED"):
            m.d.comb += [self.stored.ready.eq(1), self.storing.eq(1)]
            m.d.sync += [
                hand.after.sealed.eq(stored.sealed),
                hand.after.opened.eq(stored.opened),
                hand.after.offloaded.eq(stored.offloaded),
                hand.after.tokens.eq(header.tokens + hand.job.descriptor.tokens),
            ]
            with m.If(self.stored.valid):
                m.next = "SAVE"
                with m.If(stored.fault != Fault.NONE):
                    m.d.sync += hand.fault.eq(stored.fault)
                with m.If(hand.spoilt | (stored.fault != Fault.NONE)):
                    m.next = "END"
        with m.State("SAVE"):
            m.d.comb += self.save.valid.eq(1)
            with m.If(self.save.ready):
                m.next = "SAVED"
        with m.State("SAVED"):
            m.d.comb += self.saved.ready.eq(1)
            with m.If(self.saved.valid):
                m.next = "END"
                with m.If(self.saved.p.fault != Fault.NONE):
                    m.d.sync += hand.fault.eq(self.saved.p.fault)
        with m.State("END"):
            m.d.comb += self.ended.valid.eq(1)
            with m.If(self.ended.ready):
                m.d.sync += hand.taken.eq(0)
                m.next = "TAKE"

    def _list(self, m: Module, area: Area, slot: Any, count: Any, valid: Any = 1) -> None:
        """Append a segment to the list."""
        p = self.segment.p
        m.d.comb += [self.segment.valid.eq(valid)]
        m.d.comb += [p.area.eq(area), p.slot.eq(slot), p.count.eq(count)]


class _Hand:
    """The registers of the job in hand, and of the attention that is held back."""

    def __init__(self) -> None:
        self.job, self.header = Signal(JOB), Signal(HEADER)
        self.after = Signal(HEADER)
        """The header as the job leaves it."""
        self.rows, self.chunks_log2, self.out_lines = Signal(16), Signal(4), Signal(LINE)
        self.sinks, self.skip = Signal(16), Signal(16)
        """Sinks before the frame, and among its tokens."""
        self.fault, self.spoilt = Signal(FAULT), Signal()
        """The first fault; whether the frame's hash bits are wrong, and so its clusters."""
        self.taken, self.attends = Signal(), Signal()
        """A job is in hand; it has handed over its attention."""
        self.counted = Signal(COUNTED)
        self.feed, self.write = Signal(FEED), Signal(WRITE)
        self.held, self.held_feed, self.held_write = Signal(), Signal(FEED), Signal(WRITE)
