"""Faults on demand."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

BITS = 16


class Fault(wiring.Component):
    """``o`` is 1 at the ``at``-th ``step`` from when ``at`` last changed; 0: never."""

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"at": In(BITS), "step": In(1), "o": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Count, and stop counting where it would begin anew."""
        m = Module()
        before, count, number = Signal(BITS), Signal(BITS), Signal(BITS + 1)
        m.d.comb += [
            number.eq(Mux(self.at == before, count, 0) + 1),
            self.o.eq(self.at == number),
        ]
        m.d.sync += [
            before.eq(self.at),
            count.eq(Mux(self.step & ~number[BITS], number, number - 1)),
        ]
        return m
