"""Which unit works in a cycle."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.kvpu.engine import COUNTS

STEPS = data.StructLayout({"busy": 1, "begins": 1, "begun": 1})
"""A unit of the KVMU is ``busy`` with a job; what it waits for is offered; has come."""


class Watch(wiring.Component):
    """Tells when the HCU and the WTU work, by their ``counts``, and retriever and storer.

    HCU and WTU work in a cycle in which they are busy and wait for neither side. Retriever and
    storer work from the first selected cluster, or assignment, to the end of their job. Latency
    1 cycle for the first two. Our decision.
    """

    def __init__(self) -> None:
        """Begin with nothing at work."""
        super().__init__(
            {
                "counts": In(COUNTS),
                "retrieves": In(STEPS),
                "stores": In(STEPS),
                **{name: Out(1) for name in ("hcu", "wtu", "retriever", "storer")},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Compare each count with what it was, and remember what has begun."""
        m = Module()
        for unit, works in (("hcu", self.hcu), ("wtu", self.wtu)):
            moves = []
            for name in ("busy", "stalled_in", "stalled_out"):
                count = self.counts[f"{unit}_{name}"]
                before = Signal.like(count, name=f"{unit}_{name}_before")
                m.d.sync += before.eq(count)
                moves.append(count != before)
            m.d.comb += works.eq(moves[0] & ~moves[1] & ~moves[2])
        for steps, works in ((self.retrieves, self.retriever), (self.stores, self.storer)):
            begun = Signal(name="begun")
            m.d.sync += begun.eq(steps.busy & (begun | steps.begun))
            m.d.comb += works.eq(steps.busy & (begun | steps.begins))
        return m
