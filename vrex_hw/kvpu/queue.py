"""The queue of jobs in front of a unit: each job keeps the parameters it was started with."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

INSIDE_BITS = 4
"""Width of the count of jobs that a unit has taken and not finished."""


class JobQueue(wiring.Component):
    """Holds up to ``depth`` jobs for a unit whose parameters are plain inputs (our decision).

    ``start`` queues ``entry``, the job and its parameters as they are in that cycle; if the queue
    is ``full`` there is no job and ``dropped`` is high in that cycle. Jobs leave on ``issue`` in
    order, as far ahead as the unit takes them. ``parameters`` belong to every job in the unit: a
    job that was started with other parameters waits until the unit is empty, so that parameters
    can be written at any time and never change under a job. ``done`` is high in the cycle in
    which the unit finishes a job; ``busy`` while a job is queued or in the unit. From ``start``
    to ``issue`` is 1 cycle, 2 where the parameters change.
    """

    def __init__(self, job: data.Layout, parameters: data.Layout, depth: int) -> None:
        """Make it for layouts ``job`` and ``parameters``; ``depth`` is 1 or more."""
        if depth < 1:
            raise ValueError(f"depth is {depth!r}: it must be 1 or more")
        self._entry = data.StructLayout({"job": job, "parameters": parameters})
        self._depth = depth
        super().__init__(
            {
                "start": In(1),
                "entry": In(self._entry),
                "dropped": Out(1),
                "full": Out(1),
                "busy": Out(1),
                "issue": Out(stream.Signature(job)),
                "parameters": Out(parameters),
                "done": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the FIFO, the parameters in force and the count of jobs in the unit."""
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self._entry.size, depth=self._depth)
        inside = Signal(INSIDE_BITS)
        head = self._entry(fifo.r_data)
        same, issued = Signal(), Signal()
        m.d.comb += [
            fifo.w_data.eq(self.entry),
            fifo.w_en.eq(self.start),
            self.full.eq(~fifo.w_rdy),
            self.dropped.eq(self.start & self.full),
            same.eq(head.parameters.as_value() == self.parameters.as_value()),
            self.issue.valid.eq(fifo.r_rdy & same & ~inside.all()),
            self.issue.p.eq(head.job),
            issued.eq(self.issue.valid & self.issue.ready),
            fifo.r_en.eq(issued),
            self.busy.eq(fifo.r_rdy | (inside != 0)),
        ]
        m.d.sync += inside.eq(inside + issued - self.done)
        with m.If(fifo.r_rdy & (inside == 0)):
            m.d.sync += self.parameters.eq(head.parameters)
        return m
