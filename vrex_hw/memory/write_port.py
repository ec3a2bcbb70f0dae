"""Writes to device memory: many clients on the AW, W and B channels of AXI4."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.ports import WriteSignature
from vrex_hw.memory.answers import Answers
from vrex_hw.memory.chooser import Chooser
from vrex_hw.memory.layouts import BURST_OF, ID_BITS, Sizes
from vrex_hw.memory.sender import SENT, Sender
from vrex_hw.memory.splitter import Splitter

AHEAD = 4
"""Bursts whose address may go out before their lines."""


class WritePort(wiring.Component):
    """Serves ``clients`` writers, ``client[0]`` before ``client[1]`` and so on, request by request.

    AWID is the client's number; BREADY is always 1. Lines go out in the order of the requests: one
    that is late holds up those behind it. A burst that leaves its client's bounds or the address
    space never reaches the memory: its lines are taken and dropped, and ``done`` says ``outside``.
    Latency: 3 cycles from a request to AWVALID and to the first line, 1 from a line to its first
    beat, 1 from the last answer to ``done``; a burst and a beat a cycle, up to 64 bursts of a
    client on their way. Raises :class:`ValueError` for a bus wider than a line or not 1 to 16
    clients.
    """

    def __init__(self, config: Config, clients: int) -> None:
        """``clients``: 1 to 16."""
        self._config, self._clients, self._sizes = config, clients, Sizes(config)
        self._sizes.check(clients)
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS, read=False)
        super().__init__({"client": In(WriteSignature(config)).array(clients), "m_axi": Out(bus)})

    def elaborate(self, platform: Any) -> Module:
        """Send each burst's address, and its lines behind it."""
        m = Module()
        m.submodules.chooser = chooser = Chooser(self._config, self._clients, bounded=True)
        m.submodules.splitter = splitter = Splitter(self._config)
        m.submodules.sender = sender = Sender(self._config, self._clients)
        m.submodules.answers = answers = Answers(self._clients)
        wiring.connect(m, chooser.o, splitter.i)
        for k, client in enumerate(self.client):
            wiring.connect(m, wiring.flipped(client.request), chooser.request[k])
            m.d.comb += [
                sender.line[k].p.eq(client.line.p.as_value()),
                sender.line[k].valid.eq(client.line.valid),
                client.line.ready.eq(sender.line[k].ready),
                chooser.base[k].eq(client.base),
                chooser.size[k].eq(client.size),
                client.done.eq(answers.done[k]),
            ]
        for name in ("client", "sent", "last", "refused"):
            m.d.comb += getattr(answers, name).eq(getattr(sender, name))
        m.d.comb += [sender.room.eq(answers.room), sender.empty.eq(answers.empty)]
        self._address(m, splitter.o, sender.i)
        m.d.comb += [
            self.m_axi.wvalid.eq(sender.w.valid),
            sender.w.ready.eq(self.m_axi.wready),
            self.m_axi.wdata.eq(sender.w.p.data),
            self.m_axi.wstrb.eq(sender.w.p.strobe),
            self.m_axi.wlast.eq(sender.w.p.last),
            self.m_axi.bready.eq(1),
            answers.answer.valid.eq(self.m_axi.bvalid),
            answers.answer.id.eq(self.m_axi.bid),
            answers.answer.response.eq(self.m_axi.bresp),
        ]
        return m

    def _address(self, m: Module, burst: Any, due: Any) -> None:
        """Queue a burst's address, unless it is outside, and that its lines are due."""
        m.submodules.aw = queue = SyncFIFO(width=BURST_OF.size, depth=2)
        m.submodules.due = lines = SyncFIFO(width=SENT.size, depth=AHEAD)
        wanted = SENT(lines.w_data)
        m.d.comb += [
            queue.w_data.eq(burst.p),
            queue.w_en.eq(burst.valid & ~burst.p.outside & lines.w_rdy),
            *(wanted[name].eq(burst.p[name]) for name in ("client", "lines", "last", "outside")),
            lines.w_en.eq(burst.valid & (queue.w_rdy | burst.p.outside)),
            burst.ready.eq(lines.w_rdy & (queue.w_rdy | burst.p.outside)),
            self.m_axi.awvalid.eq(queue.r_rdy),
            queue.r_en.eq(self.m_axi.awready),
            *self._sizes.channel("aw", self.m_axi, BURST_OF(queue.r_data)),
            due.valid.eq(lines.r_rdy),
            due.p.eq(lines.r_data),
            lines.r_en.eq(due.ready),
        ]
