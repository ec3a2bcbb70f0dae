"""Takes lines to the host link, each packet to its end whatever becomes of its transfer."""

from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import REQUEST, line_layout, send_layout
from vrex_hw.kvmu.link_ledger import moved_layout


class LinkSender(wiring.Component):
    """Passes the lines of ``give`` to ``send``, a line a cycle.

    ``asked``: a transfer writes ``lines`` lines, which somebody will give. ``offered``: its request
    is offered to the link, which has ``room``; ``issued``: the link has taken it, so a packet of
    ``lines`` is due. ``given`` tells that a transfer's lines have all been taken.

    In a cycle with ``flush`` all lines that are given are dropped, and every packet that is or will
    be due for a request that was offered by then is filled up with zeros: the link has its lines,
    and nobody waits for a link that takes none. Latency 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        """Remember the writes among ``kvmu.outstanding`` transfers."""
        self._places = config.kvmu.outstanding
        line = line_layout(config.lxe.side)
        self._asked = data.StructLayout({"index": exact_log2(self._places), "lines": REQUEST})
        super().__init__(
            {
                "flush": In(1),
                "asked": In(data.StructLayout({"valid": 1, **self._asked.members})),
                "room": Out(1),
                "offered": In(1),
                "issued": In(data.StructLayout({"valid": 1, "lines": REQUEST})),
                "give": In(stream.Signature(line)),
                "send": Out(stream.Signature(send_layout(config.lxe.side))),
                "given": Out(moved_layout(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count what is to be given and what is to be sent, each by itself."""
        m = Module()
        m.submodules.asked = asked = SyncFIFOBuffered(
            width=self._asked.size, depth=self._places + 1
        )
        m.submodules.due = due = SyncFIFOBuffered(width=REQUEST, depth=self._places + 1)
        transfer, send, give = self._asked(asked.r_data), self.send, self.give
        free, passes, padded, step = Signal(), Signal(), Signal(), Signal()
        take, given, sent = Signal(), Signal(), Signal()
        m.d.comb += [
            asked.w_en.eq(self.asked.valid),
            asked.w_data.eq(self.asked.as_value()[1:]),
            due.w_en.eq(self.issued.valid),
            due.w_data.eq(self.issued.lines),
            free.eq(~send.valid | send.ready),
            padded.eq(self._padded(m, sent)),
            passes.eq(asked.r_rdy & due.r_rdy & ~padded & free),
            give.ready.eq(Mux(self.flush, asked.r_rdy, passes)),
            take.eq(give.valid & give.ready),
            step.eq(Mux(padded, due.r_rdy & free, passes & give.valid)),
            given.eq(self._last(m, take, transfer.lines, "taken")),
            asked.r_en.eq(given),
            self.given.valid.eq(given),
            self.given.index.eq(transfer.index),
            sent.eq(self._last(m, step, due.r_data, "passed")),
            due.r_en.eq(sent),
        ]
        with m.If(free):
            m.d.sync += [
                send.valid.eq(step),
                send.p.data.eq(Mux(padded, 0, give.p.as_value())),
                send.p.last.eq(sent),
            ]
        return m

    def _padded(self, m: Module, sent: Value) -> Value:
        """Count the packets whose transfers have ended; return whether the next is one of them."""
        owed, dead = Signal(range(self._places + 1)), Signal(range(self._places + 1))
        m.d.comb += self.room.eq(owed != self._places)
        m.d.sync += owed.eq(owed + self.offered - sent)
        with m.If(self.flush):
            m.d.sync += dead.eq(owed - sent)
        with m.Elif(dead != 0):
            m.d.sync += dead.eq(dead - sent)
        return self.flush | (dead != 0)

    def _last(self, m: Module, step: Value, lines: Value, name: str) -> Value:
        """Count the steps of a packet; return 1 in the one that is its last."""
        count = Signal(REQUEST, name=name)
        last = step & ((count + 1)[:REQUEST] == lines)
        with m.If(step):
            m.d.sync += count.eq(Mux(last, 0, count + 1))
        return last
