"""The order of a job's steps, once its clusters are being selected."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.attends import Attends
from vrex_hw.core.feeder.layouts import FEED, READ
from vrex_hw.core.open_walk import OPEN_CLUSTER, OpenWalk
from vrex_hw.core.predictor import PREDICTED
from vrex_hw.core.settings import SETTINGS
from vrex_hw.core.statuses import ENDED
from vrex_hw.core.writer import WRITE
from vrex_hw.kvmu import table
from vrex_hw.kvmu.layouts import HEADER, LINE, SEGMENT, Area, Fault
from vrex_hw.kvmu.ports import OpenSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import DONE as RETRIEVED
from vrex_hw.kvmu.retriever.layouts import JOB as RETRIEVE
from vrex_hw.kvmu.storer.layouts import DONE as STORED
from vrex_hw.kvmu.storer.layouts import job_layout as store_layout
from vrex_hw.kvpu.engine import (
    CLUSTER_JOB,
    CLUSTER_PARAMETERS,
    StartSignature,
)
from vrex_hw.lxe.layouts import COLUMN_BITS, Kind

COUNTED = data.StructLayout({"chosen": 32, "hits": 32, "fetched": LINE})
"""Counters of the retriever, of which a job's status tells its own part."""

HAND = data.StructLayout(
    {
        **PREDICTED.members,
        "header": HEADER,
        "after": HEADER,
        "spoilt": 1,
        "lost": 1,
        "attends": 1,
        "counted": COUNTED,
    }
)
"""The job in hand: the header as it finds it, and as it leaves it ``after``; whether its hash bits
are wrong (``spoilt``), its table could not be loaded (``lost``), it has handed over its attention;
what the counters were when it began."""


class Sequencer(wiring.Component):
    """Takes one job after the other through its steps; the units do them.

    1. load the head's table; 2. hash the frame and cluster it (the LXE and the HCU); 3. retrieve
    what was selected; list what the frame attends; 4. hand over its attention; 5. store the frame;
    6. save the table.

    Its scores have been handed over before (:class:`~vrex_hw.core.predictor.Predictor`), and when
    it is taken, the predictor goes on to the next job. So the LXE has, in this order: attention of
    job j - 1, scores of j + 1, hash bits of j, attention of j. Job j is retrieved during the first
    two, and stored during its own attention.

    A fault ends a job's retrieval, and it does not attend; its frame is stored all the same, and
    the head goes on. A fault in storing, hashing or in the table leaves the head's state busy.

    ``same``: a job of the head ``asked`` is in hand or attends; ``quiet``: none is. ``freed``
    pulses when an attention has been written. Source: the paper's overlap of prediction and
    execution; the order is our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the streams of ``config``."""
        self._config, self._regions = config, Regions(config)
        super().__init__(
            {
                "settings": In(SETTINGS),
                "job": In(stream.Signature(PREDICTED)),
                "asked": In(LINE),
                "same": Out(1),
                "quiet": Out(1),
                "chunks_log2": In(4),
                "ended": Out(stream.Signature(ENDED)),
                "freed": In(1),
                "idle": In(1),
                "load": Out(stream.Signature(table.LOAD)),
                "loaded": In(stream.Signature(table.LOADED)),
                "save": Out(stream.Signature(table.STORE)),
                "saved": In(stream.Signature(table.STORED)),
                "open": Out(OpenSignature(config)),
                "open_cluster": Out(stream.Signature(OPEN_CLUSTER)),
                "cluster": Out(StartSignature(CLUSTER_JOB, CLUSTER_PARAMETERS)),
                "feed": Out(stream.Signature(FEED)),
                "attend": Out(stream.Signature(WRITE)),
                "hashed": In(READ),
                "bank": Out(1),
                "empty": Out(1),
                "segment": Out(stream.Signature(SEGMENT)),
                "columns": In(COLUMN_BITS),
                "retrieve": Out(stream.Signature(RETRIEVE)),
                "retrieved": In(stream.Signature(RETRIEVED)),
                "found": In(stream.Signature(SEGMENT)),
                "counted": In(COUNTED),
                "store": Out(stream.Signature(store_layout(config))),
                "stored": In(stream.Signature(STORED)),
                "storing": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the steps as states, and what they hold of the job in hand."""
        m = Module()
        m.submodules.attends = attends = Attends()
        m.submodules.walk = walk = OpenWalk(self._config)
        hand = Signal(HAND)
        connect(m, walk.open, flipped(self.open))
        m.d.comb += [
            attends.freed.eq(self.freed),
            attends.own.eq(hand.job.descriptor.state),
            attends.asked.eq(self.asked),
            walk.sealed.eq(hand.header.sealed),
            walk.opened.eq(hand.header.opened),
            self.open_cluster.p.eq(walk.cluster.p),
            self.bank.eq(attends.bank),
        ]
        self._payloads(m, hand, attends)
        with m.If(self.hashed.valid & (self.hashed.fault != Fault.NONE)):
            m.d.sync += hand.spoilt.eq(1)
            with m.If(hand.fault == Fault.NONE):
                m.d.sync += hand.fault.eq(self.hashed.fault)
        with m.FSM() as fsm:
            self._begin(m, hand)
            self._cluster(m, hand, walk)
            self._retrieve(m, hand, attends, walk)
            self._keep(m, hand)
        works = ~fsm.ongoing("TAKE")
        mine = works & (hand.job.descriptor.state == self.asked)
        m.d.comb += [
            self.same.eq(attends.same | mine),
            self.quiet.eq(~works & ~attends.some & self.idle),
        ]
        return m

    def _payloads(self, m: Module, hand: Any, attends: Attends) -> None:
        """Say what each unit is told of the job in hand."""
        job, header, settings = hand.job.descriptor, hand.header, self.settings
        area = self._config.wtu.entries << self._regions.slot_bits
        transient = Signal(LINE)
        m.d.comb += transient.eq(settings.transient + Mux(attends.bank, area, 0))
        given = self.cluster.entry.parameters
        m.d.comb += [given[n].eq(settings[n]) for n in given.shape().members]
        own = {"chunks_log2": self.chunks_log2, "sealed": header.sealed}
        own |= {name: job[name] for name in ("state", "host", "host_tokens")}
        shared = {name: job[name] for name in ("k", "v", "kv_stride", "tokens", "group", "state")}
        fields: list[tuple[Any, dict[str, Any]]] = [
            (self.load.p, {"state": job.state}),
            (self.save.p, {"state": job.state, "header": hand.after}),
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
                    "sealed": Mux(hand.lost, 0, header.sealed),
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
            (self.feed.p, {**shared, "bank": attends.bank, "transient": transient}),
            (self.ended.p, {"id": job.id, "fault": hand.fault, "attends": hand.attends}),
            (
                self.attend.p,
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

    def _begin(self, m: Module, hand: Any) -> None:
        """Take a job, load its head's table."""
        given = self.job.p
        with m.State("TAKE"):
            m.d.comb += self.job.ready.eq(1)
            with m.If(self.job.valid):
                m.d.sync += [
                    *(hand[name].eq(given[name]) for name in PREDICTED.members),
                    hand.spoilt.eq(0),
                    hand.lost.eq(0),
                    hand.attends.eq(0),
                    hand.counted.eq(self.counted),
                ]
                m.next = "LOAD"
                with m.If(~given.started):
                    m.next = "END"
        with m.State("LOAD"):
            m.d.comb += self.load.valid.eq(1)
            with m.If(self.load.ready):
                m.next = "LOADED"
        with m.State("LOADED"):
            m.d.comb += self.loaded.ready.eq(1)
            m.d.sync += hand.header.eq(self.loaded.p.header)
            with m.If(self.loaded.valid):
                m.next = "CLUSTER"
                with m.If(self.loaded.p.fault != Fault.NONE):
                    # What is selected has to be taken all the same.
                    m.d.sync += [hand.fault.eq(self.loaded.p.fault), hand.lost.eq(1)]
                    m.next = "RETRIEVE"

    def _cluster(self, m: Module, hand: Any, walk: OpenWalk) -> None:
        """Start the cluster job, and the hash bits and open clusters that it lives on."""
        job, some = hand.job.descriptor, hand.skip != hand.job.descriptor.tokens
        with m.State("CLUSTER"), m.If(~self.cluster.full):
            m.d.comb += self.cluster.start.eq(some)
            m.next = "FEED HASH"
        with m.State("FEED HASH"):
            m.d.comb += [
                self.feed.p.kind.eq(Kind.HASH),
                self.feed.p.address.eq(job.k_hash),
                self.feed.p.stride.eq(job.kv_stride),
                self.feed.p.skip.eq(hand.skip),
                self.feed.valid.eq(some),
            ]
            with m.If(self.feed.ready | ~self.feed.valid):
                m.d.comb += walk.begin.eq(some)
                m.next = "TABLE"
        with m.State("TABLE"):
            m.d.comb += [
                self.open_cluster.valid.eq(walk.cluster.valid),
                walk.cluster.ready.eq(self.open_cluster.ready),
            ]
            with m.If(~walk.busy):
                m.next = "BANK"

    def _retrieve(self, m: Module, hand: Any, attends: Attends, walk: OpenWalk) -> None:
        """Fetch what was selected, list what the frame attends, keep its attention for later."""
        segment, entry = self.segment, walk.cluster.p.entry
        with m.State("BANK"):
            m.d.comb += self.empty.eq(1)
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
                with m.If((hand.fault == Fault.NONE) & (self.retrieved.p.fault != Fault.NONE)):
                    m.d.sync += hand.fault.eq(self.retrieved.p.fault)
                with m.If((self.retrieved.p.fault | hand.fault) != Fault.NONE):
                    m.next = "STORE"
                    with m.If(hand.lost):
                        m.next = "END"
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
                m.next = "FEED ATTEND"
        with m.State("FEED ATTEND"):
            m.d.comb += [
                self.feed.p.kind.eq(Kind.ATTEND),
                self.feed.p.address.eq(hand.job.descriptor.q),
                self.feed.p.stride.eq(hand.job.descriptor.q_stride),
                self.feed.p.columns.eq(self.columns),
                self.feed.valid.eq(1),
                self.attend.valid.eq(self.feed.ready),
            ]
            with m.If(self.feed.ready):
                m.d.comb += attends.take.eq(1)
                m.d.sync += hand.attends.eq(1)
                m.next = "STORE"

    def _keep(self, m: Module, hand: Any) -> None:
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
                m.next = "TAKE"

    def _list(self, m: Module, area: Area, slot: Any, count: Any, valid: Any = 1) -> None:
        """Append a segment to the list."""
        p = self.segment.p
        m.d.comb += [self.segment.valid.eq(valid)]
        m.d.comb += [p.area.eq(area), p.slot.eq(slot), p.count.eq(count)]
