"""A host link to try the core with: memory of the host, latency, bandwidth, and faults to order."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE, LINK_REQUEST, line_layout
from vrex_hw.kvmu.ports import LinkSignature
from vrex_hw.lxe.outbox import Outbox
from vrex_hw.models.link_server import BUFFER, ENTRY, TIME, LinkFault, LinkServer
from vrex_hw.models.ram import ram

OVERLAP = 4
"""Requests whose latencies pass at the same time."""
DUE = data.StructLayout({"entry": ENTRY, "time": TIME})
"""A request that was taken, and the time from which on it may be served."""


class Link(wiring.Component):
    """The host's side of :class:`~vrex_hw.kvmu.ports.LinkSignature`, with ``lines`` lines behind.

    Requests are served in their order, one at a time, reads and writes on one wire, each
    ``latency`` cycles after it was taken or later; :data:`OVERLAP` may wait. With many requests of
    n lines one ends about every max(n * interval / 16 + 3, (latency + 3) / OVERLAP) cycles.
    ``interval``: 1/16 cycles a line; less than 16 is a line a cycle. ``stall``: chance in 1/256 a
    cycle that a stream pauses, drawn for each of the four. A request that leaves the ``lines``
    moves nothing and completes with an error.

    ``fault``, a :class:`~vrex_hw.models.link_server.LinkFault`, is done to request number
    ``fault_at``, counted from 1 since ``fault_at`` changed; 0: to none. One LATE answer can wait at
    a time, others are LOST. ``broken`` is high once a packet of ``send`` had another length than
    its request. ``load`` writes a line of the host, ``dump`` reads one into ``dumped``, in cycles
    in which the link does not. A reset drops all requests and keeps the memory, which begins with
    anything.
    """

    def __init__(self, config: Config, lines: int, seed: int = 1) -> None:
        """``lines`` of the host, 2 or more; ``seed`` of the pauses, not 0."""
        self._config, self._lines, self._seed = config, lines, seed
        self._line = line_layout(config.lxe.side)
        super().__init__(
            {
                "core": In(LinkSignature(config)),
                "latency": In(16),
                "interval": In(16),
                "stall": In(8),
                "fault": In(LinkFault),
                "fault_at": In(32),
                "late": In(TIME),
                "broken": Out(1),
                "load": In(
                    stream.Signature(data.StructLayout({"address": LINE, "data": self._line}))
                ),
                "dump": In(stream.Signature(data.StructLayout({"address": LINE}))),
                "dumped": Out(stream.Signature(self._line)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Put the server between the queue of requests and the memory."""
        m = Module()
        m.submodules.server = server = LinkServer(self._config)
        wiring.connect(m, wiring.flipped(self.core.send), server.send)
        wiring.connect(m, server.receive, wiring.flipped(self.core.receive))
        wiring.connect(m, server.completion, wiring.flipped(self.core.completion))
        now = Signal(TIME)
        pauses = self._pauses(m)
        m.d.sync += now.eq(now + 1)
        m.d.comb += [
            server.now.eq(now),
            server.late.eq(self.late),
            server.interval.eq(self.interval),
            server.paused.eq(pauses[1:]),
            self.broken.eq(server.broken),
        ]
        self._memory(m, platform, server)
        self._queue(m, server, now, pauses[0])
        return m

    def _pauses(self, m: Module) -> Any:
        """Draw for each stream whether it pauses in this cycle (xorshift of 32 bits)."""
        noise = Signal(32, init=self._seed)
        a = (noise ^ (noise << 13))[:32]
        b = a ^ (a >> 17)
        m.d.sync += noise.eq(b ^ (b << 5))
        return Cat(noise[8 * k : 8 * k + 8] < self.stall for k in range(4))

    def _memory(self, m: Module, platform: Any, server: LinkServer) -> None:
        """Make the host's memory: the server goes first, ``load`` and ``dump`` when it does not."""
        bits = self._line.size
        host = ram(m, platform, "host", bits, self._lines, grain=bits)
        m.submodules.dumped = dumped = Outbox(self._line, BUFFER)
        wiring.connect(m, dumped.o, wiring.flipped(self.dumped))
        m.d.comb += [
            self.load.ready.eq(~server.write),
            host.write.eq(server.write | self.load.valid),
            host.write_address.eq(Mux(server.write, server.address, self.load.p.address)),
            host.write_data.eq(
                Mux(server.write, self.core.send.p.data.as_value(), self.load.p.data.as_value())
            ),
            self.dump.ready.eq(~server.read & dumped.room),
            host.read.eq(server.read | dumped.reserve),
            host.read_address.eq(Mux(server.read, server.address, self.dump.p.address)),
            server.data.eq(host.read_data),
            dumped.reserve.eq(self.dump.valid & self.dump.ready),
            dumped.p.eq(host.read_data),
        ]
        m.d.sync += dumped.push.eq(dumped.reserve)

    def _queue(self, m: Module, server: LinkServer, now: Signal, paused: Any) -> None:
        """Take requests; each remembers when it is due and what is to go wrong."""
        m.submodules.queue = queue = SyncFIFOBuffered(width=DUE.size, depth=OVERLAP)
        put, head = Signal(DUE), DUE(queue.r_data)
        request, before = self.core.request, Signal(32)
        number, count, left = Signal(32), Signal(32), Signal(TIME)
        outside = request.p.address + request.p.lines > self._lines
        ordered = (self.fault_at != 0) & (number == self.fault_at)
        m.d.comb += [
            queue.w_en.eq(request.valid & request.ready),
            queue.w_data.eq(put),
            request.ready.eq(queue.w_rdy & ~paused),
            number.eq(Mux(before == self.fault_at, count, 0) + 1),
            *(put.entry[name].eq(request.p[name]) for name in LINK_REQUEST.members),
            put.entry.fault.eq(
                Mux(outside, LinkFault.ERROR, Mux(ordered, self.fault, LinkFault.NONE))
            ),
            put.time.eq(now + self.latency),
            left.eq(head.time - now),
            server.job.p.eq(head.entry),
            server.job.valid.eq(queue.r_rdy & ((left == 0) | left[-1])),
            queue.r_en.eq(server.job.valid & server.job.ready),
        ]
        m.d.sync += [before.eq(self.fault_at), count.eq(number - ~queue.w_en)]
