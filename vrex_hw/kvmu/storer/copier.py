"""Copies tokens' lines to their places."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE, line_layout
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import job_layout, line_write, place_layout


class Copier(wiring.Component):
    """Writes the lines of a token, its key's chunks, then its value's, into its slot.

    ``start`` pulses with a ``job``, which is held to its last line. A line a cycle, without
    latency. ``stored`` pulses with a token's last line. While ``failed``, lines and places are
    thrown away; a write that was offered before still goes.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "failed": In(1),
                "place": In(stream.Signature(place_layout(config))),
                "line": In(stream.Signature(line_layout(config.lxe.side))),
                "write": Out(stream.Signature(line_write(config))),
                "stored": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count a token's lines; the address of each is its slot's and its place there."""
        m = Module()
        regions, place, write = Regions(self._config), self.place.p, self.write
        bits = regions.slot_bits
        chunk, value = Signal(regions.chunk_bits), Signal()
        # Slots begin at multiples of their size: only the high bits are added up.
        sinks, window = Signal(LINE - bits), Signal(LINE - bits)
        m.d.sync += [
            sinks.eq(self.job.state[bits:] + (regions.sinks >> bits)),
            window.eq(self.job.state[bits:] + (regions.window >> bits)),
        ]
        slot = Mux(place.window, window + place.slot, sinks)[: LINE - bits]
        offered, there = Signal(), self.place.valid & self.line.valid
        last = chunk == (1 << self.job.chunks_log2) - 1
        taken = write.valid & write.ready
        m.d.sync += offered.eq(write.valid & ~write.ready)
        m.d.comb += [
            write.valid.eq(there & (~self.failed | offered)),
            write.p.address.eq(Cat(place.position, chunk, value, slot)),
            write.p.data.eq(self.line.p),
            write.p.mask.eq(~0),
            self.stored.eq(taken & last & value),
            self.line.ready.eq(Mux(write.valid, write.ready, self.failed)),
            self.place.ready.eq(Mux(write.valid, self.stored, self.failed)),
        ]
        with m.If(self.start):
            m.d.sync += [chunk.eq(0), value.eq(0)]
        with m.Elif(taken):
            m.d.sync += chunk.eq(Mux(last, 0, chunk + 1))
            m.d.sync += value.eq(value ^ last)
        return m
