"""Takes jobs, judges them and brings each one's table into the shadow bank."""

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu.layouts import (
    JOB,
    chunk,
    lane_bits,
    loaded_job,
    ring_write,
    table_entry,
)

MOST_CLUSTERS = (1 << NUMBER_BITS) - 1


class Loader(wiring.Component):
    """Front of the HCU: ``job`` and ``table`` in, ring writes and ``loaded`` jobs out.

    It runs one job ahead of the scanner, so that a table loads while the job before compares. A
    job that resumes has no table, but is judged by the state of the job before and so waits for
    its end (``idle``). Of a table with more entries than the ring has slots the last ones stay.

    An entry takes ``config.phases`` cycles, a job 5 cycles more. Source: our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Size the ports after ``config``."""
        self.config = config
        super().__init__(
            {
                "job": In(stream.Signature(JOB)),
                "table": In(stream.Signature(table_entry(config))),
                "write": Out(stream.Signature(ring_write(config))),
                "loaded": Out(stream.Signature(loaded_job(config))),
                "idle": In(1),
                "bank": In(1),
                "base": In(NUMBER_BITS),
                "head": In(NUMBER_BITS),
                "join_window": In(NUMBER_BITS),
                "reach": In(NUMBER_BITS),
                "busy": Out(1),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the job's state machine and the register of the entry in hand."""
        m = Module()
        config = self.config
        job = Signal(JOB)
        loaded = self.loaded.payload
        total = Signal(NUMBER_BITS + 1)
        past = Signal(NUMBER_BITS + 1)
        clusters = Signal(NUMBER_BITS + 2)
        left = Signal(NUMBER_BITS)
        entry = Signal(table_entry(config))
        held = Signal()
        taken = Signal()

        m.d.comb += [
            loaded.resume.eq(job.resume),
            loaded.first_index.eq(job.first_index),
            loaded.tokens.eq(job.tokens),
            loaded.base.eq(job.base),
            clusters.eq(past + job.tokens),
        ]
        with m.FSM() as fsm:
            with m.State("TAKE"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += job.eq(self.job.payload)
                with m.If(self.job.valid):
                    m.next = "SUM"
                    with m.If(self.job.p.resume):
                        m.next = "FOLLOW"
            with m.State("FOLLOW"):
                m.d.sync += [job.base.eq(self.base), job.entries.eq(self.head - self.base)]
                with m.If(self.idle):
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [
                    total.eq(job.entries + job.tokens),
                    past.eq(job.entries + job.base),
                ]
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += [
                    loaded.refused.eq(
                        (self.join_window > config.joinable)
                        | (total > config.open)
                        | (clusters > MOST_CLUSTERS)
                    ),
                    loaded.head.eq(job.base),
                    loaded.low.eq(job.base),
                    loaded.start.eq(job.base[lane_bits(config) :]),
                    loaded.window.eq(0),
                    left.eq(Mux(job.resume, 0, job.entries)),
                ]
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.table.ready.eq((left != 0) & (~held | taken))
                with m.If(self.table.valid & self.table.ready):
                    m.d.sync += left.eq(left - 1)
                with m.If((left == 0) & ~held):
                    m.next = "READY"
            with m.State("READY"):
                m.d.comb += self.loaded.valid.eq(1)
                with m.If(self.loaded.ready):
                    m.next = "TAKE"

        with m.If(self.table.ready):
            m.d.sync += [held.eq(self.table.valid), entry.eq(self.table.payload)]
        with m.Elif(taken):
            m.d.sync += held.eq(0)
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("TAKE")),
            self.starved.eq(self.table.ready & ~self.table.valid),
        ]
        self._store(m, entry, held, taken)
        return m

    def _store(self, m: Module, entry: Signal, held: Signal, taken: Signal) -> None:
        """Write the entry in hand, a chunk a cycle, and follow the bounds of the table."""
        config = self.config
        loaded = self.loaded.payload
        write = self.write.payload
        phase = Signal(range(config.phases))
        age = Signal(NUMBER_BITS)
        ring_full = (loaded.head - loaded.low)[exact_log2(config.joinable)]
        m.d.comb += [
            self.write.valid.eq(held & ~loaded.refused),
            write.bank.eq(~self.bank),
            write.number.eq(loaded.head),
            write.phase.eq(phase),
            write.hashed.eq(1),
            write.chunk.eq(chunk(config, entry.hash, phase)),
            write.first.eq(entry.first),
            write.count.eq(entry.count),
            age.eq(loaded.first_index - entry.first),
            taken.eq(held & loaded.refused),
        ]
        with m.If(self.write.valid & self.write.ready):
            m.d.sync += phase.eq(phase + 1)
            with m.If(phase == config.phases - 1):
                m.d.comb += taken.eq(1)
                m.d.sync += [
                    phase.eq(0),
                    loaded.head.eq(loaded.head + 1),
                    loaded.low.eq(loaded.low + ring_full),
                    loaded.window.eq(loaded.window + entry.count),
                ]
                with m.If(age > self.reach):
                    m.d.sync += loaded.start.eq((loaded.head + 1)[lane_bits(config) :])
