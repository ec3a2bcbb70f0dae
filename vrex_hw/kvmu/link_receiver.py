"""Takes packets from the host link and passes on the lines that somebody waits for."""

from typing import Any

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import REQUEST, TAG, line_layout
from vrex_hw.kvmu.link_ledger import moved_layout


class LinkReceiver(wiring.Component):
    """Turns packets into lines, a line a cycle; it never holds the link up.

    ``asked``: a transfer reads ``lines`` lines under ``tag``. Packets have to come in that order.
    A packet whose first beat has another tag than the first that is due is dropped up to its
    last; so is any beat of another tag, each with a pulse of ``unknown``. A packet of too few or
    too many lines is ``fetched`` as ``wrong``: from then on no line is passed on, since whoever
    counts them would take them for those of another transfer, until ``flush`` makes the receiver
    forget what is due. Latency 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        """Remember the reads among ``kvmu.outstanding`` transfers."""
        self._places = config.kvmu.outstanding
        line = line_layout(config.lxe.side)
        receive = data.StructLayout({"data": line, "tag": TAG, "last": 1})
        index = exact_log2(self._places)
        self._due = data.StructLayout({"tag": TAG, "index": index, "lines": REQUEST})
        super().__init__(
            {
                "flush": In(1),
                "asked": In(data.StructLayout({"valid": 1, **self._due.members})),
                "receive": In(stream.Signature(receive)),
                "line": Out(data.StructLayout({"valid": 1, "data": line})),
                "fetched": Out(moved_layout(config)),
                "unknown": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Judge every beat by the first packet that is due."""
        m = Module()
        fifo = ResetInserter(self.flush)(SyncFIFOBuffered(width=self._due.size, depth=self._places))
        m.submodules.due = fifo
        due, beat = self._due(fifo.r_data), self.receive.p
        taken, ends, inside, mine = Signal(), Signal(), Signal(), Signal()
        ours, own, fits, poisoned = Signal(), Signal(), Signal(), Signal()
        seen, count = Signal(REQUEST), Signal(REQUEST)
        m.d.comb += [
            fifo.w_en.eq(self.asked.valid),
            fifo.w_data.eq(self.asked.as_value()[1:]),
            self.receive.ready.eq(1),
            taken.eq(self.receive.valid & ~self.flush),
            ours.eq(fifo.r_rdy & (beat.tag == due.tag)),
            own.eq(Mux(inside, mine, ours)),
            count.eq(Mux(inside, seen, 0)),
            fits.eq(own & ours & (count != due.lines)),
            ends.eq(taken & own & beat.last),
            fifo.r_en.eq(ends),
            self.fetched.valid.eq(ends),
            self.fetched.index.eq(due.index),
            self.fetched.wrong.eq(~fits | ((count + 1)[:REQUEST] != due.lines)),
        ]
        m.d.sync += [
            self.line.valid.eq(taken & fits & ~poisoned),
            self.line.data.eq(beat.data),
            self.unknown.eq(self.receive.valid & Mux(inside, mine & ~ours, ~ours)),
        ]
        with m.If(self.receive.valid):
            m.d.sync += [inside.eq(~beat.last), mine.eq(own), seen.eq(count + fits)]
        with m.If(self.flush):
            m.d.sync += [mine.eq(0), poisoned.eq(0)]
        with m.Elif(ends & self.fetched.wrong):
            m.d.sync += poisoned.eq(1)
        return m
