"""Reads bursts from device memory into a FIFO, which has room for all that was asked for."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import fetch_layout
from vrex_hw.kvmu.layouts import BURST, line_layout
from vrex_hw.kvmu.ports import ReadSignature


class Fetcher(wiring.Component):
    """Fetches bursts (``i``) in order and gives their lines, each with its burst's tag, on ``o``.

    A burst is asked for when ``depth`` lines have room for it, beside those that wait and those
    that are on the way; so memory of a latency up to about ``depth`` less a burst is hidden.
    ``done`` pulses when the last line of a burst that is the ``last`` of its job has come, with
    ``error`` if memory said so at any line of the job; such lines are passed on like any other.
    A burst of 0 lines, which must be its job's last, waits until everything before it has come.

    A burst a cycle, a line a cycle. 1 cycle from ``i`` to the request, 2 from a line to ``o``. A
    line comes a cycle after its request was taken, or later. Source: our decision.
    """

    def __init__(self, config: Config, tag: data.StructLayout, depth: int) -> None:
        """``depth``: lines, 3 or more and no less than the longest burst."""
        self._depth, self._tag = depth, tag
        line = line_layout(config.lxe.side)
        self._beat = data.StructLayout({"data": line, "tag": tag})
        super().__init__(
            {
                "i": In(stream.Signature(fetch_layout(tag))),
                "read": Out(ReadSignature(config)),
                "o": Out(stream.Signature(self._beat)),
                "done": Out(data.StructLayout({"valid": 1, "error": 1})),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count what has room and what is on the way; follow the bursts as their lines come."""
        m = Module()
        i, request, line = self.i, self.read.request, self.read.line
        room = Signal(range(self._depth + 1), init=self._depth)
        coming = Signal.like(room, init=0)
        empty, asks, takes = Signal(), Signal(), self.o.valid & self.o.ready
        m.d.comb += [
            empty.eq(i.p.lines == 0),
            i.ready.eq(
                Mux(
                    empty,
                    coming == 0,
                    (~request.valid | request.ready) & (i.p.lines <= room),
                )
            ),
            asks.eq(i.valid & i.ready & ~empty),
        ]
        asked = Mux(asks, i.p.lines, 0)
        m.d.sync += [
            room.eq(room - asked + takes),
            coming.eq(coming + asked - line.valid),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(asks):
            m.d.sync += [
                request.valid.eq(1),
                request.p.address.eq(i.p.address),
                request.p.lines.eq(i.p.lines),
            ]
        burst, ends = self._bursts(m, asks)
        self._finish(m, (ends & burst.last) | (i.valid & i.ready & empty))

        m.submodules.lines = fifo = SyncFIFOBuffered(width=self._beat.size, depth=self._depth)
        beat = Signal(self._beat)
        m.d.comb += [
            beat.data.eq(line.data),
            beat.tag.eq(burst.tag),
            fifo.w_data.eq(beat),
            fifo.w_en.eq(line.valid),
            self.o.valid.eq(fifo.r_rdy),
            self.o.p.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        return m

    def _bursts(self, m: Module, asks: Signal) -> tuple[Any, Signal]:
        """Return the burst whose lines come, and whether the one of this cycle is its last.

        A burst goes into its FIFO a cycle before the request does, so it is out in time.
        """
        layout = data.StructLayout({"lines": BURST, "last": 1, "tag": self._tag})
        m.submodules.bursts = fifo = SyncFIFOBuffered(width=layout.size, depth=self._depth)
        entry, index, ends = Signal(layout), Signal(BURST), Signal()
        burst = layout(fifo.r_data)
        valid = self.read.line.valid
        m.d.comb += [
            *(entry[name].eq(self.i.p[name]) for name in layout.members),
            fifo.w_data.eq(entry),
            fifo.w_en.eq(asks),
            ends.eq(valid & (index == burst.lines - 1)),
            fifo.r_en.eq(ends),
        ]
        with m.If(valid):
            m.d.sync += index.eq(Mux(ends, 0, index + 1))
        return burst, ends

    def _finish(self, m: Module, done: Any) -> None:
        """Keep the job's error until it is reported."""
        error, line = Signal(), self.read.line
        m.d.comb += [
            self.done.valid.eq(done),
            self.done.error.eq(error | (line.valid & line.error)),
        ]
        m.d.sync += error.eq(self.done.error & ~self.done.valid)
