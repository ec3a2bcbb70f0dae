"""Reads of device memory: many clients on the AR and R channels of AXI4."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.ports import ReadSignature
from vrex_hw.memory.chooser import Chooser
from vrex_hw.memory.layouts import BURST_OF, ID_BITS, Sizes
from vrex_hw.memory.splitter import Splitter

FLIGHT_BITS = 9
"""Of the count of bursts under way: 511 at most."""


class ReadPort(wiring.Component):
    """Serves ``clients`` readers, ``client[0]`` before ``client[1]`` and so on, request by request.

    ARID is the client's number. Bursts of different clients may come back interleaved; RREADY is
    always 1. A line has ``error`` if one of its beats had; the lines of a request that leaves the
    address space have it too, and the memory hears nothing of them. Latency: 3 cycles from a
    request to ARVALID, 1 from the last beat of a line to the line; a burst and a beat a cycle.
    Raises :class:`ValueError` for a bus wider than a line or not 1 to 16 clients.
    """

    def __init__(self, config: Config, clients: int) -> None:
        """``clients``: 1 to 16."""
        self._config, self._clients, self._sizes = config, clients, Sizes(config)
        self._sizes.check(clients)
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS, write=False)
        super().__init__({"client": In(ReadSignature(config)).array(clients), "m_axi": Out(bus)})

    def elaborate(self, platform: Any) -> Module:
        """Send bursts, put beats together."""
        m = Module()
        m.submodules.chooser = chooser = Chooser(self._config, self._clients, bounded=False)
        m.submodules.splitter = splitter = Splitter(self._config)
        wiring.connect(m, chooser.o, splitter.i)
        for client, request in zip(self.client, chooser.request, strict=True):
            wiring.connect(m, wiring.flipped(client.request), request)
        beat_valid, beat_client, error = Signal(), Signal(ID_BITS), Signal()
        m.d.sync += [
            beat_valid.eq(self.m_axi.rvalid),
            beat_client.eq(self.m_axi.rid),
            error.eq(self.m_axi.rresp[1]),
        ]
        self._send(m, splitter.o, beat_valid, beat_client, error)
        self._gather(m, beat_valid, beat_client, error)
        return m

    def _send(self, m: Module, burst: Any, valid: Any, client: Any, error: Any) -> None:
        """Send bursts to AR; answer those outside, once nothing else is under way, in its stead."""
        m.submodules.ar = queue = SyncFIFO(width=BURST_OF.size, depth=2)
        flight, full = Signal(FLIGHT_BITS), Signal()
        refused, beat = Signal(range(self._sizes.burst_lines * self._sizes.beats)), Signal()
        done = refused == (burst.p.lines << exact_log2(self._sizes.beats)) - 1
        head = BURST_OF(queue.r_data)
        m.d.comb += [
            full.eq(flight.all()),
            queue.w_data.eq(burst.p),
            queue.w_en.eq(burst.valid & ~burst.p.outside & ~full),
            beat.eq(burst.valid & burst.p.outside & (flight == 0)),
            burst.ready.eq(Mux(burst.p.outside, beat & done, queue.w_rdy & ~full)),
            self.m_axi.arvalid.eq(queue.r_rdy),
            queue.r_en.eq(self.m_axi.arready),
            self.m_axi.rready.eq(1),
            *self._sizes.channel("ar", self.m_axi, head),
        ]
        ended = self.m_axi.rvalid & self.m_axi.rlast
        m.d.sync += flight.eq(flight + (queue.w_en & queue.w_rdy) - ended)
        with m.If(beat):
            m.d.sync += [
                valid.eq(1),
                client.eq(burst.p.client),
                error.eq(1),
                refused.eq(Mux(done, 0, refused + 1)),
            ]

    def _gather(self, m: Module, valid: Any, number: Any, error: Any) -> None:
        """Keep the beats of each client's line but the last, which is in the register of R."""
        beats, bits = self._sizes.beats, 8 * self._sizes.bus_bytes
        beat = Signal(bits)
        m.d.sync += beat.eq(self.m_axi.rdata)
        for k in range(self._clients):
            here, line = Signal(name=f"here_{k}"), self.client[k].line
            m.d.comb += here.eq(valid & (number == k))
            if beats == 1:
                m.d.comb += [line.data.eq(beat), line.valid.eq(here), line.error.eq(error)]
                continue
            place = Signal(exact_log2(beats), name=f"place_{k}")
            kept = Signal((beats - 1) * bits, name=f"kept_{k}")
            failed = Signal(name=f"failed_{k}")
            last = place.all()
            m.d.comb += [
                line.data.eq(Cat(kept, beat)),
                line.valid.eq(here & last),
                line.error.eq(error | failed),
            ]
            with m.If(here):
                m.d.sync += [place.eq(place + 1), failed.eq(~last & (failed | error))]
                with m.Switch(place):
                    for at in range(beats - 1):
                        with m.Case(at):
                            m.d.sync += kept.word_select(at, bits).eq(beat)
        return
