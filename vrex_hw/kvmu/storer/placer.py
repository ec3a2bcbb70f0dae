"""Finds a place for every token of a frame, and keeps the open clusters' entries."""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.hcu.layouts import ASSIGNMENT, token
from vrex_hw.kvmu.layouts import COUNT, FAULT, LINE, Fault
from vrex_hw.kvmu.ports import OpenSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import job_layout, place_layout

PLACES = 4
"""Places that wait for their token's lines: the entries run that far ahead of the copy."""
MOST_CLUSTERS = 65_535


class Placer(wiring.Component):
    """Takes assignments, gives places in order: first the sinks', then the clusters' tokens.

    ``start`` pulses with a ``job``, which is held while ``busy``. A sink takes a cycle, another
    token two: its entry is read in the first and written in the second, so that the next token
    reads it as it is then. Nothing is placed before the first beat of ``assign`` is there (if one
    is to come), as the HCU may refuse the frame. The hash bits of ``lxe.rows`` tokens wait inside:
    the HCU that drains a frame it refuses never waits for ``assign``.

    ``fault`` is not 0 for one cycle where an assignment cannot be followed; nothing is placed in
    that cycle, nor while ``failed``, but the packet and its hash bits are taken to the end.
    ``opened`` counts clusters; ``target`` is the trailer's number when ``busy`` falls.

    Source: paper (reordering while storing); the checks and the rest are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        self._place = place_layout(config)
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "failed": In(1),
                "assign": In(stream.Signature(ASSIGNMENT)),
                "hash": In(stream.Signature(token(config.hcu))),
                "open": Out(OpenSignature(config)),
                "place": Out(stream.Signature(self._place)),
                "fault": Out(FAULT),
                "opened": Out(NUMBER_BITS),
                "target": Out(NUMBER_BITS),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Walk through the sinks, then the assignments, then what hash bits are left."""
        m = Module()
        beat = self.assign.p
        left, sinks, index = Signal(16), Signal(16), Signal(LINE)
        held, bits, surplus = Signal(ASSIGNMENT), Signal(token(self._config.hcu)), Signal()
        hashes, places = self._queues(m)
        with m.If(hashes.r_en & hashes.r_rdy):
            m.d.sync += left.eq(left - 1)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    left.eq(self.job.tokens - self.job.skip),
                    sinks.eq(self.job.skip),
                    index.eq(self.job.start),
                    self.opened.eq(self.job.opened),
                    self.target.eq(self.job.sealed),
                ]
                m.next = "SINKS"
            with m.State("SINKS"):
                self._sinks(m, places, left=left, sinks=sinks, index=index)
            with m.State("TAKE"):
                token_comes = self.assign.valid & ~beat.last
                m.d.comb += [
                    self.assign.ready.eq(beat.last | hashes.r_rdy | (left == 0)),
                    hashes.r_en.eq(token_comes & (left != 0)),
                    self.open.read.eq(token_comes),
                    self.open.address.eq(beat.number),
                ]
                m.d.sync += [held.eq(beat), bits.eq(hashes.r_data), surplus.eq(left == 0)]
                with m.If(self.assign.valid & self.assign.ready):
                    m.next = "CHECK"
                    with m.If(beat.last):
                        m.next = "TRAILER"
            with m.State("CHECK"):
                self._place_token(m, places, held=held, bits=bits, surplus=surplus, index=index)
            with m.State("TRAILER"):
                amiss = (held.number < self.job.sealed) | (held.number > self.opened) | (left != 0)
                with m.If(held.error | amiss):
                    fault = Mux(held.error, Fault.WINDOW_FULL, Fault.OUT_OF_BOUNDS)
                    m.d.comb += self.fault.eq(fault)
                m.d.sync += self.target.eq(held.number)
                m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += hashes.r_en.eq(left != 0)
                with m.If(left == 0):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m

    def _queues(self, m: Module) -> tuple[SyncFIFOBuffered, SyncFIFO]:
        """Return the hash bits that wait for their assignments, and the places that wait."""
        rows, planes = self._config.lxe.rows, self._config.hcu.hyperplanes
        m.submodules.hashes = hashes = SyncFIFOBuffered(width=planes, depth=rows)
        m.submodules.places = places = SyncFIFO(width=self._place.size, depth=PLACES)
        m.d.comb += [
            hashes.w_data.eq(self.hash.p.bits),
            hashes.w_en.eq(self.hash.valid),
            self.hash.ready.eq(hashes.w_rdy),
            self.place.valid.eq(places.r_rdy),
            self.place.p.eq(places.r_data),
            places.r_en.eq(self.place.ready),
        ]
        return hashes, places

    def _sinks(
        self, m: Module, places: SyncFIFO, *, left: Value, sinks: Value, index: Value
    ) -> None:
        """Place a sink a cycle, if there are no others or the HCU is known to take them."""
        inside = Regions(self._config).token_bits
        known = (left == 0) | self.assign.valid
        refused = (left != 0) & self.assign.p.last
        outside = index[inside:].any()
        with m.If((left == 0) & (sinks == 0)):
            m.next = "IDLE"
        with m.Elif(known & (refused | (sinks == 0))):
            m.next = "TAKE"
        with m.Elif(known & places.w_rdy):
            m.d.sync += [sinks.eq(sinks - 1), index.eq(index + 1)]
            m.d.comb += [
                self.fault.eq(Mux(outside, Fault.OUT_OF_BOUNDS, Fault.NONE)),
                places.w_en.eq(~outside & ~self.failed),
                self._place(places.w_data).position.eq(index),
            ]

    def _place_token(
        self, m: Module, places: SyncFIFO, *, held: Any, bits: Any, surplus: Value, index: Value
    ) -> None:
        """Place the token in hand, and write its cluster's entry, which was read for it."""
        entry, place = self.open.data, self._place(places.w_data)
        self._check(m, held, surplus)
        opens = held.opened
        m.d.comb += [
            place.window.eq(1),
            place.slot.eq(held.number),
            place.position.eq(Mux(opens, 0, entry.count)),
            self.open.write_address.eq(held.number),
            self.open.write_data.hash.eq(Mux(opens, bits.bits, entry.hash)),
            self.open.write_data.first.eq(Mux(opens, index[:16], entry.first)),
            self.open.write_data.count.eq(Mux(opens, 1, entry.count[: COUNT - 1] + 1)),
        ]
        good = (self.fault == Fault.NONE) & ~self.failed
        with m.If(places.w_rdy | self.failed):
            m.d.comb += [places.w_en.eq(good), self.open.write.eq(good)]
            m.d.sync += [index.eq(index + 1), self.opened.eq(self.opened + (good & opens))]
            m.next = "TAKE"

    def _check(self, m: Module, held: Any, surplus: Value) -> None:
        """Say what is wrong with the assignment in hand."""
        kvmu, job = self._config.kvmu, self.job
        unknown = (held.number < job.sealed) | (held.number >= self.opened)
        full = self.open.data.count >= kvmu.slot_tokens
        amiss = surplus | Mux(held.opened, held.number != self.opened, unknown | full)
        open_now = Signal(NUMBER_BITS)
        m.d.comb += open_now.eq(self.opened - job.sealed)
        with m.If(amiss):
            m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)
        with m.Elif(held.opened & (self.opened == MOST_CLUSTERS)):
            m.d.comb += self.fault.eq(Fault.STATE_FULL)
        with m.Elif(held.opened & (open_now >= kvmu.window_slots)):
            m.d.comb += self.fault.eq(Fault.WINDOW_FULL)
