"""Where jobs come from: a ring in device memory, or the job registers."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import DESCRIPTOR, LINE
from vrex_hw.kvmu.ports import ReadSignature
from vrex_hw.kvmu.regions import Regions

JOB = data.StructLayout({"descriptor": DESCRIPTOR, "broken": 1})
"""``broken``: the ring could not be read; the descriptor means nothing."""


class Jobs(wiring.Component):
    """Queues jobs, ``config.kvmu.jobs`` of them, in the order in which they are asked for.

    ``start`` queues ``job`` unless the queue is ``full``, when it is ``dropped``. The ring has
    2^``ring_log2`` jobs from line ``ring`` on, each a :data:`DESCRIPTOR` in
    :attr:`~vrex_hw.kvmu.regions.Regions.job_lines` lines. Jobs up to ``tail``, a count modulo
    2^16, are read one by one while there is room. ``waits``: some job was asked for that has not
    left. Latency: 2 cycles from a start to ``o``; from the ring that of memory and 6 cycles.
    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size the queue by ``config``."""
        self._config, self._regions = config, Regions(config)
        super().__init__(
            {
                "start": In(1),
                "job": In(DESCRIPTOR),
                "full": Out(1),
                "dropped": Out(1),
                "waits": Out(1),
                "ring": In(LINE),
                "ring_log2": In(4),
                "tail": In(16),
                "read": Out(ReadSignature(config)),
                "o": Out(stream.Signature(JOB)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the queue and the reader of the ring; a start goes before what was read."""
        m = Module()
        lines, request = self._regions.job_lines, self.read.request
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=JOB.size, depth=self._config.kvmu.jobs)
        line = self.read.line
        head, got, broken = Signal(16), Signal(range(lines)), Signal()
        taken = Signal(lines * self._regions.line_bits)
        entry = JOB(fifo.w_data)
        index = head & ~((~0 << self.ring_log2)[:16])
        m.d.comb += [
            self.o.valid.eq(fifo.r_rdy),
            self.o.p.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
            self.full.eq(~fifo.w_rdy),
            self.dropped.eq(self.start & self.full),
            fifo.w_en.eq(self.start),
            entry.descriptor.eq(self.job),
            request.p.address.eq(self.ring + (index << exact_log2(lines))),
            request.p.lines.eq(lines),
        ]
        with m.FSM() as fsm:
            with m.State("REST"):
                m.d.sync += [got.eq(0), broken.eq(0)]
                with m.If((head != self.tail) & fifo.w_rdy):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.next = "TAKE"
            with m.State("TAKE"), m.If(line.valid):
                m.d.sync += [
                    taken.eq(Cat(taken, line.data.as_value()) >> self._regions.line_bits),
                    broken.eq(broken | line.error),
                    got.eq(got + 1),
                ]
                with m.If(got == lines - 1):
                    m.next = "PUT"
            with m.State("PUT"), m.If(~self.start):
                m.d.comb += [
                    fifo.w_en.eq(1),
                    entry.descriptor.eq(taken[: DESCRIPTOR.size]),
                    entry.broken.eq(broken),
                ]
                with m.If(fifo.w_rdy):
                    m.d.sync += head.eq(head + 1)
                    m.next = "REST"
        # What was queued is not ready at once, and must not look like rest meanwhile.
        m.d.comb += self.waits.eq(~fsm.ongoing("REST") | (head != self.tail) | fifo.level.any())
        return m
