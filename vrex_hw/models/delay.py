"""A queue in which everything waits for a while."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

AGE_BITS = 16
LEAST = 2
"""Cycles that a beat is on its way at the least."""


class Delay(wiring.Component):
    """Gives each beat of ``i`` at ``o`` ``latency`` + 2 cycles later, or when ``o`` takes it.

    Up to ``depth`` beats are inside: where that is more than the latency, a beat a cycle.
    """

    def __init__(self, layout: data.Layout, depth: int) -> None:
        """``depth``: 2 or more."""
        self._bits, self._depth = layout.size, depth
        shape: ShapeLike = layout
        super().__init__(
            {
                "latency": In(8),
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Write down when a beat came; look at the first one's age."""
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(
            width=self._bits + AGE_BITS, depth=self._depth
        )
        now, age, ripe = Signal(AGE_BITS), Signal(AGE_BITS), Signal()
        m.d.sync += [now.eq(now + 1), ripe.eq(self.o.valid & ~self.o.ready)]
        m.d.comb += [
            queue.w_data.eq(Cat(self.i.p, now)),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            age.eq(now - queue.r_data[self._bits :]),
            # Once offered a beat stays so, even when its age begins anew.
            self.o.valid.eq(queue.r_rdy & (ripe | (age >= self.latency + LEAST))),
            self.o.p.eq(queue.r_data[: self._bits]),
            queue.r_en.eq(self.o.valid & self.o.ready),
        ]
        return m
