"""Cuts requests into bursts that AXI allows."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import BURST
from vrex_hw.memory.layouts import BURST_OF, CHOSEN, Sizes


class Splitter(wiring.Component):
    """Gives each request ``i`` as bursts ``o`` that end at multiples of ``Sizes.burst_lines``.

    Latency 1 cycle; a burst a cycle, the next request's first behind the last one's last.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the bus of ``config``."""
        self._places = exact_log2(Sizes(config).burst_lines)
        super().__init__({"i": In(stream.Signature(CHOSEN)), "o": Out(stream.Signature(BURST_OF))})

    def elaborate(self, platform: Any) -> Module:
        """Hold what is left of a request."""
        m = Module()
        valid, left = Signal(), Signal(CHOSEN)
        room = Signal(self._places + 1)
        last = left.lines <= room
        m.d.comb += [
            room.eq((1 << self._places) - left.address[: self._places]),
            self.o.valid.eq(valid),
            self.o.p.client.eq(left.client),
            self.o.p.address.eq(left.address),
            self.o.p.lines.eq(Mux(last, left.lines, room)),
            self.o.p.last.eq(last),
            self.o.p.outside.eq(left.outside),
            self.i.ready.eq(~valid | (self.o.ready & last)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), left.eq(self.i.p)]
        with m.Elif(self.o.ready):
            m.d.sync += [
                left.address.eq((left.address[self._places :] + 1) << self._places),
                left.lines.eq((left.lines - room)[:BURST]),
            ]
        return m
