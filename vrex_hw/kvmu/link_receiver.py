"""Takes packets from the host link and passes on the lines that somebody waits for."""

from typing import Any

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import REQUEST, TAG, line_layout, receive_layout
from vrex_hw.kvmu.link_ledger import moved_layout


class LinkReceiver(wiring.Component):
    """Turns packets into lines, a line a cycle; it never holds the link up.

    ``asked``: a transfer reads ``lines`` lines under ``tag``. Packets have to come in that order:
    a beat that has another tag than the first that is due is dropped, with a pulse of ``unknown``.
    Nothing is due before its request was taken: the ``issued`` transfers from ``oldest`` on are.
    Tags alone tell packets apart, so that one that was begun and never ended harms no other. A
    packet of too few or too many lines is ``fetched`` as ``wrong``: from then on no line is passed
    on, since whoever counts them would take them for those of another transfer, until ``flush``
    makes the receiver forget what is due. Latency 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        """Remember the reads among ``kvmu.outstanding`` transfers."""
        self._places = config.kvmu.outstanding
        line = line_layout(config.lxe.side)
        index = exact_log2(self._places)
        self._due = data.StructLayout({"tag": TAG, "index": index, "lines": REQUEST})
        super().__init__(
            {
                "flush": In(1),
                "oldest": In(TAG),
                "issued": In(range(self._places + 1)),
                "asked": In(data.StructLayout({"valid": 1, **self._due.members})),
                "receive": In(stream.Signature(receive_layout(config.lxe.side))),
                "line": Out(data.StructLayout({"valid": 1, "data": line})),
                "fetched": Out(moved_layout(config)),
                "unknown": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Judge every beat by the first packet that is due."""
        m = Module()
        fifo = ResetInserter(self.flush)(
            SyncFIFOBuffered(width=self._due.size, depth=self._places + 1)
        )
        m.submodules.due = fifo
        due, beat = self._due(fifo.r_data), self.receive.p
        ours, fits, ends, poisoned = Signal(), Signal(), Signal(), Signal()
        count = Signal(REQUEST)
        waiting, ahead = Signal(), Signal.like(due.index)
        m.d.comb += [
            ahead.eq(due.index - self.oldest),
            waiting.eq(fifo.r_rdy & ~self.flush & (ahead < self.issued)),
            fifo.w_en.eq(self.asked.valid),
            fifo.w_data.eq(self.asked.as_value()[1:]),
            self.receive.ready.eq(1),
            ours.eq(self.receive.valid & waiting & (beat.tag == due.tag)),
            fits.eq(ours & (count != due.lines)),
            ends.eq(ours & beat.last),
            fifo.r_en.eq(ends),
            self.fetched.valid.eq(ends),
            self.fetched.index.eq(due.index),
            self.fetched.wrong.eq(~fits | ((count + 1)[:REQUEST] != due.lines)),
        ]
        m.d.sync += [
            self.line.valid.eq(fits & ~poisoned),
            self.line.data.eq(beat.data),
            self.unknown.eq(self.receive.valid & ~ours),
            count.eq(Mux(self.flush | ends, 0, count + fits)),
            poisoned.eq(~self.flush & (poisoned | (ends & self.fetched.wrong))),
        ]
        return m
