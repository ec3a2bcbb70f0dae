"""Passes over a head's map: notes what a job has chosen, and takes back what it failed to fetch."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex.residency import DECAY, GAIN_LOG2, TOP
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, PRIORITY, Fault, Policy
from vrex_hw.kvmu.ports import MapSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import lane_bits, live, words_of
from vrex_hw.kvpu.reader import UNION


class Sweeper(wiring.Component):
    """Reads every word of sealed clusters, changes its entries and writes it back.

    ``start`` begins a pass, which pulses ``ended`` with its end. One that touches takes a packet
    of ``selected``, numbers ascending: an entry's ``chosen`` becomes whether it is in the packet,
    ``fresh`` 0, and its priority is touched by ``policy`` (:mod:`vrex.residency`). A word is
    written as soon as a later word's number or the trailer is there. With ``revert`` an entry that
    is ``fresh`` is not resident any more. ``sealed``, ``policy`` and ``revert`` hold during a pass.

    ``fault`` is not 0 in a cycle that sees a number of no sealed cluster or out of order, or the
    trailer of a refused packet; the pass goes on to its end. Cycles: the words, and with a packet
    its beats, and 1. Our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it for the map of ``config``."""
        self._lanes = Regions(config).map_lanes
        self._token_bits = Regions(config).token_bits
        super().__init__(
            {
                "start": In(1),
                "revert": In(1),
                "ended": Out(1),
                "sealed": In(16),
                "policy": In(1),
                "selected": In(stream.Signature(UNION)),
                "fault": Out(FAULT),
                "map": Out(MapSignature(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the walk, the bits that the packet has for the word in hand, and the touch."""
        m = Module()
        lanes, bits = self._lanes, lane_bits(self._lanes)
        running, word, chosen = Signal(), Signal(17 - bits), Signal(lanes)
        over, advance, mine = Signal(), Signal(), Signal()
        beat, taken = self.selected.p, Signal()
        m.d.comb += [
            over.eq(word == words_of(self.sealed, lanes)),
            mine.eq(~beat.last & (beat.number[bits:] == word)),
            advance.eq(running & ~over & (self.revert | (self.selected.valid & ~mine))),
            self.selected.ready.eq(running & ~self.revert & (over | mine)),
            taken.eq(self.selected.valid & self.selected.ready),
            self.ended.eq(running & over & (self.revert | (taken & beat.last))),
        ]
        with m.If(taken & beat.last & beat.error):
            m.d.comb += self.fault.eq(Fault.STATE_FULL)
        with m.If(taken & ~beat.last & (over | (beat.number >= self.sealed))):
            m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)
        with m.If(taken & ~beat.last):
            hit = Cat(beat.number[:bits] == lane for lane in range(lanes))
            m.d.sync += chosen.eq(chosen | hit)
        with m.If(advance):
            m.d.sync += [word.eq(word + 1), chosen.eq(0)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), word.eq(0), chosen.eq(0)]
        with m.Elif(self.ended):
            m.d.sync += running.eq(0)
        m.d.comb += [
            self.map.read.eq(self.start | advance),
            self.map.address.eq(Mux(self.start, 0, word + 1)),
            self.map.write.eq(Mux(advance, live(self.sealed, word, lanes), 0)),
            self.map.write_address.eq(word),
        ]
        self._change(m, chosen)
        return m

    def _change(self, m: Module, chosen: Signal) -> None:
        """Make the new entries of the word that was read."""
        for lane in range(self._lanes):
            old, new = self.map.data[lane], self.map.write_data[lane]
            m.d.comb += new.eq(old)
            with m.If(self.revert):
                m.d.comb += new.resident.eq(old.resident & ~old.fresh)
            with m.Else():
                m.d.comb += [
                    new.chosen.eq(chosen[lane]),
                    new.fresh.eq(0),
                    new.priority.eq(self._touched(m, lane, old, chosen[lane])),
                ]

    def _touched(self, m: Module, lane: int, old: Any, chosen: Any) -> Any:
        """Return the touched priority: a subtraction and an addition of 8 bits."""
        loss, kept = Signal(PRIORITY, name=f"loss_{lane}"), Signal(PRIORITY, name=f"kept_{lane}")
        gained = Signal(PRIORITY + 1, name=f"gained_{lane}")
        frequency = self.policy == Policy.FREQUENCY
        share = (old.priority + ((1 << DECAY) - 1)) >> DECAY
        # A count that is more than a slot's would be refused by the allocator: cut, not checked.
        gain = ((old.count << GAIN_LOG2) >> self._token_bits)[: GAIN_LOG2 + 1]
        m.d.comb += [
            loss.eq(Mux(frequency, share, old.priority.any())),
            kept.eq(old.priority - loss),
            gained.eq(kept + gain),
        ]
        high = Mux(frequency & (gained < TOP), gained[:PRIORITY], TOP)
        return Mux(chosen, high, kept)
