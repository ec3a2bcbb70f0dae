"""Writes single lines to device memory, and knows when all of them are there."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, flipped

from vrex_hw.config import Config
from vrex_hw.fork import Fork
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.ports import WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import line_write

OUTSTANDING = 64
"""Most writes whose ``done`` is not back: enough for a write a cycle at 64 cycles of latency."""


class LineWriter(wiring.Component):
    """Writes what ``i`` gives, a request a line, into the counts, means, sinks and window slots.

    ``state``: the head's, held while a write is under way; ``base`` and ``size`` of the port
    leave out what no store touches: header, map, open entries and resident slots. ``error`` and
    ``outside`` pulse as the port tells; ``idle``: nothing is under way. A line a cycle, without
    latency; ``i.ready`` depends on the port's within the cycle. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        self._config = config
        super().__init__(
            {
                "state": In(LINE),
                "i": In(stream.Signature(line_write(config))),
                "write": Out(WriteSignature(config)),
                "error": Out(1),
                "outside": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Send each line both ways, and count what is not done."""
        m = Module()
        regions = Regions(self._config)
        m.submodules.fork = fork = Fork(line_write(self._config))
        wiring.connect(m, flipped(self.i), fork.i)
        write, (asks, brings) = flipped(self.write), fork.o
        level = Signal(range(OUTSTANDING + 1))
        room = level != OUTSTANDING
        m.d.comb += [
            write.request.valid.eq(asks.valid & room),
            write.request.p.address.eq(asks.p.address),
            write.request.p.lines.eq(1),
            asks.ready.eq(write.request.ready & room),
            write.line.valid.eq(brings.valid),
            write.line.p.data.eq(brings.p.data),
            write.line.p.mask.eq(brings.p.mask),
            brings.ready.eq(write.line.ready),
            write.size.eq(regions.resident - regions.counts),
            self.error.eq(write.done.valid & write.done.error),
            self.outside.eq(write.done.valid & write.done.outside),
            self.idle.eq((level == 0) & ~self.i.valid),
        ]
        # A register: the state stands still long before the first write.
        m.d.sync += write.base.eq(self.state + regions.counts)
        m.d.sync += level.eq(level + (asks.valid & asks.ready) - write.done.valid)
        return m
