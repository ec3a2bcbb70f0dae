"""A stream that goes to several receivers."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Fork(wiring.Component):
    """Gives every beat of ``i`` to each of ``ways`` streams ``o``, each at its own pace.

    A beat is done with when all have taken it; who took it first waits. No latency; a beat a
    cycle. ``i.ready`` depends on the ``o.ready`` within the cycle, ``o.valid`` on no ready.
    """

    def __init__(self, shape: ShapeLike, ways: int = 2) -> None:
        """Make it for a payload of ``shape``."""
        signature = stream.Signature(shape)
        self._ways = ways
        super().__init__({"i": In(signature), "o": Out(signature).array(ways)})

    def elaborate(self, platform: Any) -> Module:
        """Note for each way whether it has taken the present beat."""
        m = Module()
        had = Signal(self._ways)
        has = Cat(had[k] | self.o[k].ready for k in range(self._ways))
        m.d.comb += self.i.ready.eq(has.all())
        for k in range(self._ways):
            m.d.comb += [self.o[k].valid.eq(self.i.valid & ~had[k]), self.o[k].p.eq(self.i.p)]
        with m.If(self.i.valid):
            m.d.sync += had.eq(Mux(self.i.ready, 0, has))
        return m
