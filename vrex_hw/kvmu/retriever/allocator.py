"""Gives every chosen cluster its place: where it is already, a slot to keep, or one for now."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import COUNT, FAULT, MAP_ENTRY, SEGMENT, SLOT, Area, Fault
from vrex_hw.kvmu.ports import MapSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import CLUSTER, lane_bits, live, words_of
from vrex_hw.kvmu.retriever.victim import VictimScan


class Allocator(wiring.Component):
    """Walks over the map's chosen clusters in ascending order.

    One that is resident is a hit. Any other is fetched: into resident slot ``used`` while that is
    less than ``room``; else into the slot of the cluster that :class:`VictimScan` finds, if the
    newcomer's priority is not less; else into the next transient slot of the job. Its entry is
    written ``fresh``, and ``cluster`` asks for it. Each gives a ``segment``, in order.

    ``start`` begins a walk, with ``used`` (as the head has it) and transient slot 0; ``ended``
    pulses when its last segment and cluster were taken. ``stop`` ends it early, and so does a
    ``fault``: an entry with a slot or a count that cannot be. ``hit`` pulses with a hit, ``given``
    with every cluster, of ``tokens`` tokens. ``sealed`` and ``room`` hold during a walk.

    Cycles: 1 a word without a chosen cluster, 2 for one with; 2 for a hit, 3 for a slot that is
    free, and 6 more and the scan for one that is not. Once a scan has found that no resident
    cluster may go, the walk makes no more of them: none will. Our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it for the map and the slots of ``config``."""
        self._config = config
        self._lanes = Regions(config).map_lanes
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "ended": Out(1),
                "sealed": In(16),
                "room": In(16),
                "initial": In(16),
                "used": Out(16),
                "segment": Out(stream.Signature(SEGMENT)),
                "cluster": Out(stream.Signature(CLUSTER)),
                "hit": Out(1),
                "given": Out(1),
                "tokens": Out(COUNT),
                "fault": Out(FAULT),
                "map": Out(MapSignature(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the walk, the choice of a place, and what is written into the map."""
        m = Module()
        m.submodules.scan = scan = VictimScan(self._config)
        at = _Hand(self._lanes)
        m.d.comb += [
            scan.sealed.eq(self.sealed),
            scan.word.eq(self.map.data),
            self.tokens.eq(at.entry.count),
            at.free.eq(~self.cluster.valid & (~self.segment.valid | self.segment.ready)),
        ]
        with m.If(self.segment.ready):
            m.d.sync += self.segment.valid.eq(0)
        with m.If(self.cluster.ready):
            m.d.sync += self.cluster.valid.eq(0)
        with m.FSM():
            self._walk(m, at)
            self._judge(m, at, scan)
            self._replace(m, at, scan)
            with m.State("PLACE"), m.If(at.free):
                fields = {"resident": at.resident, "fresh": 1}
                slot = Mux(at.resident, at.slot, at.entry.slot)
                self._write(m, at.word, at.lane, slot=slot, **fields)
                self._fetch(m, at)
                self._give(m, at, at.resident, at.slot)
        return m

    def _walk(self, m: Module, at: "_Hand") -> None:
        """Go from word to word, and in each from one chosen cluster to the next."""
        last = at.word + 1 == words_of(self.sealed, self._lanes)
        chosen = Cat(self.map.data[lane].chosen for lane in range(self._lanes))
        chosen &= live(self.sealed, at.word, self._lanes)
        lowest = Signal(lane_bits(self._lanes))
        m.d.comb += [lowest.eq(_lowest(at.todo)), at.last.eq(last)]
        with m.State("IDLE"), m.If(self.start):
            m.d.sync += [at.word.eq(0), at.barren.eq(0), at.transient.eq(0)]
            m.d.sync += self.used.eq(self.initial)
            m.next = "READ"
            with m.If(self.sealed == 0):
                m.next = "END"
        with m.State("READ"):
            m.d.comb += [self.map.read.eq(1), self.map.address.eq(at.word)]
            m.next = "LOOK"
        with m.State("LOOK"):
            m.d.sync += at.todo.eq(chosen)
            with m.If(self.stop):
                m.next = "END"
            with m.Elif(chosen.any()):
                m.next = "PICK"
            with m.Elif(last):
                m.next = "END"
            with m.Else():
                m.d.comb += [self.map.read.eq(1), self.map.address.eq(at.word + 1)]
                m.d.sync += at.word.eq(at.word + 1)
        with m.State("PICK"):
            m.d.sync += [at.lane.eq(lowest), at.entry.eq(self.map.data[lowest])]
            m.d.sync += at.todo.eq(at.todo & (at.todo - 1))
            m.next = "JUDGE"
            with m.If(self.stop):
                m.next = "END"
        with m.State("END"), m.If(~self.segment.valid & ~self.cluster.valid):
            m.d.comb += self.ended.eq(1)
            m.next = "IDLE"

    def _judge(self, m: Module, at: "_Hand", scan: VictimScan) -> None:
        """Find out what becomes of the cluster in hand."""
        outside = at.entry.resident & self._beyond(at.entry.slot)
        counted = (at.entry.count - 1)[:COUNT] < self._config.kvmu.slot_tokens
        roomy = (self.used < self.room) & ~self._beyond(self.used)
        with m.State("JUDGE"):
            m.d.sync += at.resident.eq(1)
            with m.If(outside | ~counted):
                m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)
                m.next = "END"
            with m.Elif(at.entry.resident), m.If(at.free):
                m.d.comb += self.hit.eq(1)
                self._give(m, at, 1, at.entry.slot)
            with m.Elif(roomy):
                m.d.sync += [at.slot.eq(self.used), self.used.eq(self.used + 1)]
                m.next = "PLACE"
            with m.Elif(at.barren):
                m.d.sync += [at.resident.eq(0), at.slot.eq(at.transient)]
                m.next = "PLACE"
            with m.Else():
                m.d.comb += scan.start.eq(1)
                m.next = "SCAN"

    def _beyond(self, slot: Any) -> Any:
        """Return whether there is no such resident slot."""
        return slot[exact_log2(self._config.kvmu.resident_slots) :].any()

    def _replace(self, m: Module, at: "_Hand", scan: VictimScan) -> None:
        """Search a victim and take its slot, or none; then read the word in hand again."""
        bits = lane_bits(self._lanes)
        place, lane = scan.number[bits:], scan.number[:bits]
        with m.State("SCAN"):
            m.d.comb += [self.map.read.eq(scan.read), self.map.address.eq(scan.address)]
            with m.If(scan.done):
                m.d.sync += at.barren.eq(~scan.found)
                m.next = "RETURN"
                with m.If(scan.found & (at.entry.priority >= scan.priority)):
                    m.next = "VICTIM"
        with m.State("VICTIM"):
            m.d.comb += [self.map.read.eq(1), self.map.address.eq(place)]
            m.next = "EVICT"
        with m.State("EVICT"):
            self._write(m, place, lane, resident=0)
            m.d.comb += [self.map.read.eq(1), self.map.address.eq(at.word)]
            m.d.sync += at.slot.eq(self.map.data[lane].slot)
            m.next = "PLACE"
            with m.If(self._beyond(self.map.data[lane].slot)):
                m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)
                m.next = "END"
        with m.State("RETURN"):
            m.d.comb += [self.map.read.eq(1), self.map.address.eq(at.word)]
            m.d.sync += [at.resident.eq(0), at.slot.eq(at.transient)]
            m.next = "PLACE"

    def _write(self, m: Module, word: Any, lane: Any, **fields: Any) -> None:
        """Write the word that was read back, with other ``fields`` in the entry ``lane``."""
        m.d.comb += [self.map.write_address.eq(word), self.map.write.eq(1 << lane)]
        for new, old in zip(self.map.write_data, self.map.data, strict=True):
            m.d.comb += new.eq(old)
            m.d.comb += [new[name].eq(value) for name, value in fields.items()]

    def _fetch(self, m: Module, at: "_Hand") -> None:
        """Ask for the cluster in hand."""
        cluster, kept = self.cluster.p, at.resident
        m.d.sync += [self.cluster.valid.eq(1), at.transient.eq(at.transient + ~kept)]
        m.d.sync += [cluster.offset.eq(at.entry.offset), cluster.count.eq(at.entry.count)]
        m.d.sync += [cluster.transient.eq(~kept), cluster.slot.eq(at.slot)]

    def _give(self, m: Module, at: "_Hand", resident: Any, slot: Any) -> None:
        """Tell the cluster's segment and go on to the next cluster, word, or to the end."""
        segment = self.segment.p
        area = Mux(resident, Area.RESIDENT, Area.TRANSIENT)
        m.d.comb += self.given.eq(1)
        m.d.sync += [self.segment.valid.eq(1), segment.area.eq(area)]
        m.d.sync += [segment.slot.eq(slot), segment.count.eq(at.entry.count)]
        with m.If(at.todo.any()):
            m.next = "PICK"
        with m.Elif(at.last):
            m.next = "END"
        with m.Else():
            m.d.sync += at.word.eq(at.word + 1)
            m.next = "READ"


class _Hand:
    """Registers of the walk: the word and the cluster in hand."""

    def __init__(self, lanes: int) -> None:
        bits = lane_bits(lanes)
        self.word = Signal(16 - bits)
        self.last = Signal()
        self.todo = Signal(lanes)
        """Chosen entries of the word that are still to be placed."""
        self.lane = Signal(bits)
        self.entry = Signal(MAP_ENTRY)
        self.resident = Signal()
        self.slot = Signal(SLOT)
        self.transient = Signal(SLOT)
        """The next transient slot."""
        self.barren = Signal()
        """A scan has found nothing that may go."""
        self.free = Signal()
        """What the cluster gives can be taken on."""


def _lowest(bits: Any) -> Any:
    """Return the index of the lowest bit that is 1."""
    index = Const(0)
    for place in reversed(range(len(bits))):
        index = Mux(bits[place], place, index)
    return index
