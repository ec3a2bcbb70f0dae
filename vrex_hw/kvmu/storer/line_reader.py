"""Reads ahead: requests to device memory for as many lines as there is room for."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, flipped

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import line_layout
from vrex_hw.kvmu.ports import BURST_REQUEST, ReadSignature


def read_ahead(config: Config) -> int:
    """Return the lines that are under way or wait.

    At a line every second cycle they hide 128 cycles of memory latency: no block RAM is smaller,
    and half as many would be flip-flops. The largest head has room for two tokens.
    """
    return max(65, 4 * config.chunks)


class LineReader(wiring.Component):
    """Passes ``request`` on to ``read`` once there is room for its lines; gives them on ``o``.

    ``error`` pulses when a line comes that the memory could not read, two cycles or more before
    ``o`` shows it; ``idle``: no request's line is under way or waits. Latency: a request passes
    within the cycle, a line takes 2 cycles; a line a cycle. Source: our decision.
    """

    def __init__(self, config: Config, depth: int) -> None:
        """``depth``: lines that may be under way or wait, those of a request or more."""
        self._config, self._depth = config, depth
        super().__init__(
            {
                "request": In(stream.Signature(BURST_REQUEST)),
                "read": Out(ReadSignature(config)),
                "o": Out(stream.Signature(line_layout(config.lxe.side))),
                "error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count the room that is left; a line gives its own back when it is taken."""
        m = Module()
        width = line_layout(self._config.lxe.side).size
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=width, depth=self._depth)
        left = Signal(range(self._depth + 1), init=self._depth)
        read, request = flipped(self.read), self.request
        fits = left >= request.p.lines
        issued, taken = Signal(len(request.p.lines)), Signal()
        m.d.comb += [
            read.request.valid.eq(request.valid & fits),
            read.request.p.eq(request.p),
            request.ready.eq(read.request.ready & fits),
            fifo.w_en.eq(read.line.valid),
            fifo.w_data.eq(read.line.data),
            self.error.eq(read.line.valid & read.line.error),
            self.o.valid.eq(fifo.r_rdy),
            self.o.p.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
            taken.eq(self.o.valid & self.o.ready),
            self.idle.eq(left == self._depth),
        ]
        with m.If(request.valid & request.ready):
            m.d.comb += issued.eq(request.p.lines)
        m.d.sync += left.eq(left - issued + taken)
        return m
