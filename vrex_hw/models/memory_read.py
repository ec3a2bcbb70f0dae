"""The side of the behavioural memory that reads."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.lxe.outbox import Outbox
from vrex_hw.memory.layouts import ID_BITS, Sizes
from vrex_hw.models.burst import Layouts, Walk, command
from vrex_hw.models.delay import Delay
from vrex_hw.models.fault import Fault

ROUND_TRIP = 8
"""Beats between the RAM and R: enough for one a cycle."""


class MemoryRead(wiring.Component):
    """Takes bursts from AR, answers at R.

    ``read`` asks for ``line``, whose ``data`` come a cycle later; the beat that fails gets them
    inverted. ``pause``: AR and R stand still. ``bursts`` may wait.
    """

    def __init__(self, config: Config, lines: int, bursts: int) -> None:
        """``lines`` of the memory."""
        self._config, self._lines, self._bursts = config, lines, bursts
        self._sizes, self._layouts = Sizes(config), Layouts(config, lines)
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS, write=False)
        super().__init__(
            {
                "s_axi": In(bus),
                "latency": In(8),
                "pause": In(2),
                "fault_at": In(16),
                "read": Out(1),
                "line": Out(self._layouts.beat["line"].shape),
                "data": In(8 * self._sizes.line_bytes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Let bursts wait for their time, read, queue the beats."""
        m = Module()
        bus, bits = self.s_axi, 8 * self._sizes.bus_bytes
        m.submodules.fault = fault = Fault()
        m.submodules.delay = delay = Delay(self._layouts.command, self._bursts)
        m.submodules.walk = walk = Walk(self._config, self._lines)
        shape = data.StructLayout(
            {"data": bits, "id": ID_BITS, "response": axi.RESPONSE_BITS, "last": 1}
        )
        m.submodules.beats = beats = Outbox(shape, ROUND_TRIP)
        wiring.connect(m, delay.o, walk.i)
        m.d.comb += [
            bus.arready.eq(delay.i.ready & ~self.pause[0]),
            delay.i.valid.eq(bus.arvalid & ~self.pause[0]),
            delay.i.p.eq(command(bus, "ar", fault.o, self._layouts.command)),
            delay.latency.eq(self.latency),
            fault.at.eq(self.fault_at),
            fault.step.eq(bus.arvalid & bus.arready),
            walk.o.ready.eq(beats.room),
            self.read.eq(walk.o.valid & beats.room),
            self.line.eq(walk.o.p.line),
            beats.reserve.eq(self.read),
        ]
        of = Signal(self._layouts.beat)
        m.d.sync += [beats.push.eq(self.read), of.eq(walk.o.p)]
        got = self.data.word_select(of.part, bits)
        m.d.comb += [
            beats.p.data.eq(Mux(of.response == axi.Response.OKAY, got, ~got)),
            beats.p.id.eq(of.id),
            beats.p.response.eq(of.response),
            beats.p.last.eq(of.last),
        ]
        self._answer(m, beats.o)
        return m

    def _answer(self, m: Module, beat: Any) -> None:
        """Offer a beat at R, unless there is a pause."""
        bus = self.s_axi
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        m.d.comb += beat.ready.eq((~bus.rvalid | bus.rready) & ~self.pause[1])
        with m.If(beat.valid & beat.ready):
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(beat.p.data),
                bus.rid.eq(beat.p.id),
                bus.rresp.eq(beat.p.response),
                bus.rlast.eq(beat.p.last),
            ]
