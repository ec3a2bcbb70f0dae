"""Two streams become one."""

from typing import Any

from amaranth import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class Merge(wiring.Component):
    """Gives what ``i[0]`` or ``i[1]`` brings, the first before the other when both do.

    What it has begun to give it holds until it is taken. Latency 1 cycle, one a cycle. Our
    decision.
    """

    def __init__(self, shape: data.Layout) -> None:
        """Make it for payloads of ``shape``."""
        super().__init__(
            {"i": In(stream.Signature(shape)).array(2), "o": Out(stream.Signature(shape))}
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the register that holds what is given."""
        m = Module()
        first, second = self.i
        free = ~self.o.valid | self.o.ready
        m.d.comb += [first.ready.eq(free), second.ready.eq(free & ~first.valid)]
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(first.valid | second.valid),
                self.o.p.eq(Mux(first.valid, first.p, second.p)),
            ]
        return m
