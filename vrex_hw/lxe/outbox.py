"""A stream's FIFO behind a pipeline that cannot stop, and the credits that keep it from filling."""

from typing import Any

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out


class Outbox(wiring.Component):
    """Keeps what comes out of the pipeline (``p``, valid with ``push``) until ``o`` takes it.

    ``reserve`` pulses when a beat that will end here enters the pipeline; it may while ``room``
    is high. A pipeline of up to ``depth`` cycles thus runs a beat a cycle. Latency 2 cycles.
    """

    def __init__(self, layout: data.Layout, depth: int) -> None:
        """``depth``: beats that may be on the way or waiting, 2 or more."""
        self._depth, self._bits = depth, layout.size
        shape: ShapeLike = layout
        super().__init__(
            {
                "reserve": In(1),
                "room": Out(1),
                "push": In(1),
                "p": In(shape),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count the places that are left."""
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._bits, depth=self._depth)
        left = Signal(range(self._depth + 1), init=self._depth)
        m.d.comb += [
            fifo.w_data.eq(self.p),
            fifo.w_en.eq(self.push),
            self.o.valid.eq(fifo.r_rdy),
            self.o.p.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
            self.room.eq(left != 0),
        ]
        m.d.sync += left.eq(left - self.reserve + (self.o.valid & self.o.ready))
        return m
