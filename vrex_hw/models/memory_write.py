"""The side of the behavioural memory that writes."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.memory.layouts import ID_BITS, Sizes
from vrex_hw.models.burst import Layouts, Walk, command
from vrex_hw.models.delay import Delay
from vrex_hw.models.fault import Fault

ADDRESSES = 16
"""Bursts whose data are still to come."""
ANSWER = data.StructLayout({"id": ID_BITS, "response": axi.RESPONSE_BITS})


class MemoryWrite(wiring.Component):
    """Takes bursts from AW and W, answers at B.

    ``write``: bytes of ``line`` that take ``data``, which holds each beat in all its places.
    ``pause``: AW, W and B stand still. ``answers`` may wait.
    """

    def __init__(self, config: Config, lines: int, answers: int) -> None:
        """``lines`` of the memory."""
        self._config, self._lines, self._answers = config, lines, answers
        self._sizes, self._layouts = Sizes(config), Layouts(config, lines)
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS, read=False)
        super().__init__(
            {
                "s_axi": In(bus),
                "latency": In(8),
                "pause": In(3),
                "fault_at": In(16),
                "write": Out(self._sizes.line_bytes),
                "line": Out(self._layouts.beat["line"].shape),
                "data": Out(8 * self._sizes.line_bytes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Queue the addresses, write, queue the answers."""
        m = Module()
        bus = self.s_axi
        m.submodules.fault = fault = Fault()
        m.submodules.walk = walk = Walk(self._config, self._lines)
        m.submodules.answers = answers = Delay(ANSWER, self._answers)
        queue = SyncFIFOBuffered(width=self._layouts.command.size, depth=ADDRESSES)
        m.submodules.queue = queue
        m.d.comb += [
            bus.awready.eq(queue.w_rdy & ~self.pause[0]),
            queue.w_en.eq(bus.awvalid & bus.awready),
            queue.w_data.eq(command(bus, "aw", fault.o, self._layouts.command)),
            fault.at.eq(self.fault_at),
            fault.step.eq(queue.w_en),
            walk.i.valid.eq(queue.r_rdy),
            walk.i.p.eq(queue.r_data),
            queue.r_en.eq(walk.i.ready),
            answers.latency.eq(self.latency),
        ]
        self._write(m, walk.o, answers.i)
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        m.d.comb += answers.o.ready.eq((~bus.bvalid | bus.bready) & ~self.pause[2])
        with m.If(answers.o.valid & answers.o.ready):
            m.d.sync += [
                bus.bvalid.eq(1),
                bus.bid.eq(answers.o.p.id),
                bus.bresp.eq(answers.o.p.response),
            ]
        return m

    def _write(self, m: Module, beat: Any, answer: Any) -> None:
        """Write a beat; the worst that befell a burst's beats is its answer."""
        bus, beats = self.s_axi, self._sizes.beats
        worst, now = Signal(axi.RESPONSE_BITS), Signal(axi.RESPONSE_BITS)
        here, move = Signal(axi.RESPONSE_BITS), Signal()
        strobe = Mux(beat.p.response == axi.Response.OKAY, bus.wstrb, 0)
        m.d.comb += [
            bus.wready.eq(beat.valid & ~self.pause[1] & (answer.ready | ~beat.p.last)),
            move.eq(bus.wvalid & bus.wready),
            beat.ready.eq(move),
            self.line.eq(beat.p.line),
            self.data.eq(bus.wdata.replicate(beats)),
            self.write.eq(Mux(move, strobe << (beat.p.part << exact_log2(len(strobe))), 0)),
            here.eq(Mux(bus.wlast == beat.p.last, beat.p.response, axi.Response.SLVERR)),
            now.eq(Mux(here > worst, here, worst)),
            answer.valid.eq(move & beat.p.last),
            answer.p.id.eq(beat.p.id),
            answer.p.response.eq(now),
        ]
        with m.If(move):
            m.d.sync += worst.eq(Mux(beat.p.last, axi.Response.OKAY, now))
