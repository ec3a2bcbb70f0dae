"""The answers to writes: which request each one belongs to, and how that ended."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from vrex_hw.axi import RESPONSE_BITS
from vrex_hw.memory.layouts import ID_BITS, OUTSTANDING

DONE = data.StructLayout({"valid": 1, "error": 1, "outside": 1})


class Answers(wiring.Component):
    """Counts a client's answers (``answer``: BVALID, BID, BRESP) against what it has sent.

    ``sent``: a burst of ``client`` has gone out, its request's ``last`` or not; ``refused``: a
    request of it ended unwritten. ``done`` pulses 1 cycle after the answer to a request's last
    burst, with ``error`` if any of its answers was one. ``room``: OUTSTANDING bursts at most are
    unanswered; ``empty``: none is. An answer to nothing is dropped.
    """

    def __init__(self, clients: int) -> None:
        """``clients``: 1 to 16."""
        self._clients = clients
        answer = data.StructLayout({"valid": 1, "id": ID_BITS, "response": RESPONSE_BITS})
        super().__init__(
            {
                "client": In(ID_BITS),
                "sent": In(1),
                "last": In(1),
                "refused": In(1),
                "room": Out(clients),
                "empty": Out(clients),
                "answer": In(answer),
                "done": Out(DONE).array(clients),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Keep, for each client, whether a burst is its request's last."""
        m = Module()
        answer = Signal.like(self.answer)
        m.d.sync += answer.eq(self.answer)
        for k in range(self._clients):
            fifo = SyncFIFO(width=1, depth=OUTSTANDING)
            m.submodules[f"sent_{k}"] = fifo
            refused, failed = Signal(name=f"refused_{k}"), Signal(name=f"failed_{k}")
            error, ends = Signal(name=f"error_{k}"), Signal(name=f"ends_{k}")
            m.d.sync += refused.eq(self.refused & (self.client == k))
            m.d.comb += [
                fifo.w_data.eq(self.last),
                fifo.w_en.eq(self.sent & (self.client == k)),
                fifo.r_en.eq(answer.valid & (answer.id == k)),
                self.room[k].eq(fifo.w_rdy),
                self.empty[k].eq(~fifo.r_rdy),
                error.eq(answer.response[1] | failed),
                ends.eq(fifo.r_en & fifo.r_rdy & fifo.r_data),
                self.done[k].valid.eq(ends | refused),
                self.done[k].error.eq(ends & error),
                self.done[k].outside.eq(refused),
            ]
            with m.If(fifo.r_en & fifo.r_rdy):
                m.d.sync += failed.eq(error & ~fifo.r_data)
        return m
