"""How jobs end: a status in memory, a bit, an interrupt."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, LINE, STATUS, Fault
from vrex_hw.kvmu.ports import WriteSignature

ENDED = data.StructLayout(
    {"id": 16, "fault": FAULT, "attends": 1, "fetched": LINE, "chosen": 16, "hits": 16}
)
"""A job that needs the sequencer no more; ``attends``: its attention has yet to be written."""
ATTENDED = data.StructLayout({"fault": FAULT})
DEPTH = 4


class Statuses(wiring.Component):
    """Ends jobs in their order: what ``ended`` brings, once ``attended`` has come if it attends.

    Then a line with :data:`~vrex_hw.kvmu.layouts.STATUS` goes into the ring of 2^``ring_log2``
    lines at ``statuses``, if ``enable`` is high, and when it can be read it leaves on ``status``
    as well, and ``done`` pulses, with ``failed`` if the job has a fault; ``unwritten`` pulses if
    the line could not be written. ``last`` has the id and the fault of the job that ended last,
    ``count`` the jobs that have ended. ``busy``: an end was taken and not told yet. Source: our
    decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        self._config = config
        super().__init__(
            {
                "ended": In(stream.Signature(ENDED)),
                "attended": In(stream.Signature(ATTENDED)),
                "statuses": In(LINE),
                "ring_log2": In(4),
                "enable": In(1),
                "write": Out(WriteSignature(config)),
                "status": Out(stream.Signature(STATUS)),
                "done": Out(1),
                "failed": Out(1),
                "unwritten": Out(1),
                "last": Out(data.StructLayout({"id": 16, "fault": FAULT})),
                "count": Out(32),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Take an end, wait for its attention, write, tell."""
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=ENDED.size, depth=DEPTH)
        end, cycle, write = ENDED(fifo.r_data), Signal(32), self.write
        status, fault = Signal(STATUS), Signal(FAULT)
        index = self.count & ~((~0 << self.ring_log2)[:16])
        late = end.attends & (end.fault == Fault.NONE)
        m.d.sync += cycle.eq(cycle + 1)
        m.d.comb += [
            fifo.w_data.eq(self.ended.p),
            fifo.w_en.eq(self.ended.valid),
            self.ended.ready.eq(fifo.w_rdy),
            fault.eq(Mux(late, self.attended.p.fault, end.fault)),
            write.base.eq(self.statuses),
            write.size.eq(1 << self.ring_log2),
            write.request.p.address.eq(self.statuses + index),
            write.request.p.lines.eq(1),
            write.line.p.data.as_value().eq(status.as_value()),
            write.line.p.mask.eq((1 << self._config.lxe.side) - 1),
        ]
        with m.FSM() as fsm:
            ends = fifo.r_rdy & (~end.attends | self.attended.valid)
            with m.State("REST"), m.If(ends):
                m.d.comb += [fifo.r_en.eq(1), self.attended.ready.eq(end.attends)]
                m.d.sync += [status.fault.eq(fault), status.cycle.eq(cycle)]
                m.d.sync += [status[n].eq(end[n]) for n in ("id", "fetched", "chosen", "hits")]
                m.next = "ASK"
                with m.If(~self.enable):
                    m.next = "TELL"
            with m.State("ASK"):
                m.d.comb += write.request.valid.eq(1)
                with m.If(write.request.ready):
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += write.line.valid.eq(1)
                with m.If(write.line.ready):
                    m.next = "WAIT"
            with m.State("WAIT"), m.If(write.done.valid):
                m.d.comb += self.unwritten.eq(write.done.error | write.done.outside)
                m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += [self.status.valid.eq(1), self.status.p.eq(status)]
                with m.If(self.status.ready):
                    m.d.comb += [self.done.eq(1), self.failed.eq(status.fault != Fault.NONE)]
                    m.d.sync += [
                        self.count.eq(self.count + 1),
                        self.last.id.eq(status.id),
                        self.last.fault.eq(status.fault),
                    ]
                    m.next = "REST"
        # What was queued is not ready at once, and must not look like rest meanwhile.
        m.d.comb += self.busy.eq(fifo.level.any() | ~fsm.ongoing("REST"))
        return m
