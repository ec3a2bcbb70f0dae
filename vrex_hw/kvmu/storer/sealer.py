"""Sends sealed clusters on their way: to the host, to the mean unit, to their entries."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.kvmu.layouts import COUNT, FAULT, LINE, REQUEST, Fault
from vrex_hw.kvmu.ports import BURST_REQUEST, TRANSFER, OpenSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import TASK, job_layout
from vrex_hw.vpe.mean import job_layout as mean_job_layout


class Sealer(wiring.Component):
    """Seals the clusters from the job's ``sealed`` up to ``target``, one after the other.

    ``start`` pulses with a ``job``, which is held while ``busy``, as is ``target``. For each
    cluster it reads the open entry, checks that the number has an entry in the map, the count is
    one and the host has room, makes a ``transfer``, a ``mean_job`` and a ``task`` for the
    recorder, then asks for the slot's lines, token by token, the key's chunks and the value's.
    A cluster takes 3 cycles and one for each line; it waits for the requests of the one before to
    be taken, so that lines are read while the mean of the cluster before is still divided.

    ``fault`` is not 0 for one cycle where a check fails: that cluster and those after it stay.
    Nothing is begun while ``failed``. ``sealed`` and ``offloaded`` are the head's.

    Source: paper (clusters leave for the host); the checks are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "target": In(NUMBER_BITS),
                "failed": In(1),
                "open": Out(OpenSignature(config)),
                "transfer": Out(stream.Signature(TRANSFER)),
                "mean_job": Out(stream.Signature(mean_job_layout(config))),
                "task": Out(stream.Signature(TASK)),
                "request": Out(stream.Signature(BURST_REQUEST)),
                "fault": Out(FAULT),
                "sealed": Out(NUMBER_BITS),
                "offloaded": Out(LINE),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Step through the clusters."""
        m = Module()
        count, host_line, lines = Signal(COUNT), Signal(LINE), Signal(REQUEST)
        waits = Signal()
        m.d.comb += [
            lines.eq(count << 1 << self.job.chunks_log2),
            waits.eq(self.transfer.valid | self.mean_job.valid | self.task.valid),
            self.open.address.eq(self.sealed),
        ]
        for offer in (self.transfer, self.mean_job, self.task):
            with m.If(offer.ready):
                m.d.sync += offer.valid.eq(0)
        last = self._read(m, count)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    self.sealed.eq(self.job.sealed),
                    self.offloaded.eq(self.job.offloaded),
                    host_line.eq(self.job.host + (self.job.offloaded << 1 << self.job.chunks_log2)),
                ]
                m.next = "NEXT"
            with m.State("NEXT"):
                m.d.comb += self.open.read.eq(1)
                m.next = "COUNT"
                with m.If((self.sealed == self.target) | self.failed):
                    m.next = "IDLE"
            with m.State("COUNT"):
                m.d.sync += count.eq(
                    Mux(self.open.data.count[COUNT:].any(), 0, self.open.data.count)
                )
                m.next = "CHECK"
            with m.State("CHECK"):
                self._check(m, count)
                with m.If(self.failed | (self.fault != Fault.NONE)):
                    m.next = "IDLE"
                with m.Elif(~waits):
                    self._begin(m, count=count, host_line=host_line, lines=lines)
                    m.next = "READ"
            with m.State("READ"), m.If(last):
                m.d.sync += [
                    self.sealed.eq(self.sealed + 1),
                    self.offloaded.eq(self.offloaded + count),
                    host_line.eq(host_line + lines),
                ]
                m.next = "NEXT"
        m.d.comb += self.request.valid.eq(fsm.ongoing("READ"))
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE") | waits)
        return m

    def _check(self, m: Module, count: Value) -> None:
        """Say what keeps the cluster in hand from being sealed."""
        config = self._config
        end = Signal(LINE + 1)
        m.d.comb += end.eq(self.offloaded + count)
        with m.If(self.sealed >= config.wtu.entries):
            m.d.comb += self.fault.eq(Fault.STATE_FULL)
        with m.Elif((count == 0) | (count > config.kvmu.slot_tokens)):
            m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)
        with m.Elif(end > self.job.host_tokens):
            m.d.comb += self.fault.eq(Fault.HOST_FULL)

    def _begin(self, m: Module, *, count: Value, host_line: Value, lines: Value) -> None:
        """Offer what goes with the cluster in hand."""
        m.d.sync += [
            self.transfer.valid.eq(1),
            self.transfer.p.write.eq(1),
            self.transfer.p.address.eq(host_line),
            self.transfer.p.lines.eq(lines),
            self.mean_job.valid.eq(1),
            self.mean_job.p.tokens.eq(count),
            self.mean_job.p.dimension.eq(self.job.dimension),
            self.task.valid.eq(1),
            self.task.p.number.eq(self.sealed),
            self.task.p.count.eq(count),
            self.task.p.offset.eq(self.offloaded),
        ]

    def _read(self, m: Module, count: Value) -> Value:
        """Ask for the slot's lines; return 1 when the last request is taken."""
        regions = Regions(self._config)
        bits, slots = regions.slot_bits, self._config.kvmu.window_slots
        token, value, chunk = Signal(regions.token_bits), Signal(), Signal(regions.chunk_bits)
        window, slot = Signal(LINE - bits), Signal(range(slots))
        m.d.comb += [
            window.eq(self.job.state[bits:] + (regions.window >> bits)),
            slot.eq(self.sealed),
            self.request.p.address.eq(Cat(token, chunk, value, (window + slot)[: LINE - bits])),
            self.request.p.lines.eq(1),
        ]
        last_chunk = chunk == (1 << self.job.chunks_log2) - 1
        taken = self.request.valid & self.request.ready
        with m.If(taken):
            m.d.sync += chunk.eq(Mux(last_chunk, 0, chunk + 1))
            m.d.sync += value.eq(value ^ last_chunk)
            m.d.sync += token.eq(token + (last_chunk & value))
        last = taken & last_chunk & value & (token == count - 1)
        with m.If(last):
            m.d.sync += token.eq(0)
        return last
