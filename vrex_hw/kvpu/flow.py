"""Small parts that streams of the KVPU pass: the gate for rows and the watchdog."""

from typing import Any

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class RowGate(wiring.Component):
    """Lets the rows of select jobs through and holds back every other.

    ``job`` brings the number of packets that pass from ``i`` to ``o``, 0 allowed; the next job is
    taken when they have passed. No latency; one cycle between jobs.
    """

    def __init__(self, job: data.Layout, row: ShapeLike) -> None:
        """Make it for jobs with a field ``rows`` and rows with a field ``last``."""
        super().__init__(
            {
                "job": In(stream.Signature(job)),
                "i": In(stream.Signature(row)),
                "o": Out(stream.Signature(row)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count the packets that are left."""
        m = Module()
        left, open_ = Signal(16), Signal()
        m.d.comb += [
            open_.eq(left != 0),
            self.job.ready.eq(~open_),
            self.o.p.eq(self.i.p),
            self.o.valid.eq(self.i.valid & open_),
            self.i.ready.eq(self.o.ready & open_),
        ]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += left.eq(self.job.p.rows)
        with m.If(self.o.valid & self.o.ready & self.i.p.last):
            m.d.sync += left.eq(left - 1)
        return m


class Watchdog(wiring.Component):
    """Pulses ``expired`` when ``stalled`` has been high for ``limit`` cycles on end; 0: never.

    It pulses once a stall and touches nothing: the stream goes on where it stood. A limit that is
    written during a stall counts from the next one on.
    """

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"limit": In(32), "stalled": In(1), "expired": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Count down while the stream is stalled."""
        m = Module()
        left = Signal(32)
        m.d.comb += self.expired.eq(self.stalled & (left == 1))
        with m.If(~self.stalled):
            m.d.sync += left.eq(self.limit)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return m
