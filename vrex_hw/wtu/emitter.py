"""Holds a row's selection until it is taken."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS
from vrex_hw.wtu.layouts import Layouts

DEPTH = 8


class Emitter(wiring.Component):
    """A queue of beats, then the trailer.

    The lanes that feed it never wait, so a beat's place is set aside when its reading begins.
    Beats without a hit are dropped.

    Ports
    -----
    room : a place is free.
    reserve : set it aside.
    beat, arrived : a beat for which a place was set aside; one cycle each.
    end : held from the cycle after the last ``arrived`` until ``ended``: send the trailer, with
        ``number`` and ``error``.
    ended : the trailer is taken in this cycle.
    selected : the WTU's output.
    """

    def __init__(self, layouts: Layouts) -> None:
        """Take the widths from ``layouts``."""
        self._layouts = layouts
        super().__init__(
            {
                "room": Out(1),
                "reserve": In(1),
                "beat": In(layouts.hits),
                "arrived": In(1),
                "end": In(1),
                "number": In(NUMBER_BITS),
                "error": In(1),
                "ended": Out(1),
                "selected": Out(stream.Signature(layouts.selected)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A FIFO and a count of free places."""
        m = Module()
        shapes, out = self._layouts, self.selected
        m.submodules.queue = queue = SyncFIFO(width=shapes.hits.size, depth=DEPTH)
        any_hit, dropped, left = Signal(), Signal(), Signal()
        free = Signal(range(DEPTH + 1), init=DEPTH)
        m.d.comb += [
            any_hit.eq(Cat(lane.hit for lane in self.beat).any()),
            queue.w_data.eq(self.beat),
            queue.w_en.eq(self.arrived & any_hit),
            queue.r_en.eq(out.ready),
            dropped.eq(self.arrived & ~any_hit),
            left.eq(queue.r_rdy & out.ready),
            self.room.eq(free != 0),
            out.valid.eq(queue.r_rdy | self.end),
            self.ended.eq(self.end & ~queue.r_rdy & out.ready),
        ]
        m.d.sync += free.eq(free + dropped + left - self.reserve)
        with m.If(queue.r_rdy):
            m.d.comb += out.p.lanes.eq(queue.r_data)
        with m.Else():
            m.d.comb += [out.p.number.eq(self.number), out.p.error.eq(self.error), out.p.last.eq(1)]
        return m
