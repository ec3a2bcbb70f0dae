"""Which client's request is next, and whether it stays within its bounds."""

from typing import Any

from amaranth import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import BURST, LINE
from vrex_hw.kvmu.ports import BURST_REQUEST
from vrex_hw.memory.layouts import CHOSEN, ID_BITS, Sizes

TAKEN = data.StructLayout(
    {"client": ID_BITS, "address": LINE, "lines": BURST, "base": LINE, "size": LINE}
)


class Chooser(wiring.Component):
    """Takes requests, client 0 first, then 1, and so on; gives them out one by one.

    A request is ``outside`` if it leaves the address space or, where ``bounded``, the ``size``
    lines from ``base`` on that its client names. Latency 1 cycle; a request a cycle.
    """

    def __init__(self, config: Config, clients: int, *, bounded: bool) -> None:
        """``clients``: 1 to 16."""
        self._space, self._clients, self._bounded = Sizes(config).space, clients, bounded
        super().__init__(
            {
                "request": In(stream.Signature(BURST_REQUEST)).array(clients),
                "base": In(LINE).array(clients),
                "size": In(LINE).array(clients),
                "o": Out(stream.Signature(CHOSEN)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Take into a register; compare on the way out of it."""
        m = Module()
        valid, taken, free = Signal(), Signal(TAKEN), Signal()
        m.d.comb += [free.eq(~valid | self.o.ready), self.o.valid.eq(valid)]
        with m.If(free):
            m.d.sync += valid.eq(0)
        earlier: Any = Const(0)
        for client in range(self._clients):
            request = self.request[client]
            m.d.comb += request.ready.eq(free & ~earlier)
            with m.If(free & request.valid & ~earlier):
                m.d.sync += [
                    valid.eq(1),
                    taken.client.eq(client),
                    taken.address.eq(request.p.address),
                    taken.lines.eq(request.p.lines),
                    taken.base.eq(self.base[client]),
                    taken.size.eq(self.size[client]),
                ]
            earlier = earlier | request.valid
        end, limit = Signal(LINE + 1), Signal(LINE + 1)
        outside = end > self._space
        if self._bounded:
            outside |= (taken.address < taken.base) | (end > limit)
        m.d.comb += [
            end.eq(taken.address + taken.lines),
            limit.eq(taken.base + taken.size),
            self.o.p.client.eq(taken.client),
            self.o.p.address.eq(taken.address),
            self.o.p.lines.eq(taken.lines),
            self.o.p.outside.eq(outside),
        ]
        return m
