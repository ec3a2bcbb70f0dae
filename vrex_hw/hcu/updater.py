"""The HC-table updater: opens, joins and seals clusters, and tells the assignments."""

from amaranth.hdl import Array, Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu.layouts import (
    ASSIGNMENT,
    chunk,
    decision,
    lane_bits,
    loaded_job,
    ring_lanes,
    ring_write,
    window_bits,
    word_bits,
)


class Updater(wiring.Component):
    """Keeps the table's bounds ``base <= low <= head`` and the tokens of its window.

    Open clusters are numbered base to head - 1; the ring of hashes holds those from ``low``. A
    decision becomes an assignment and a write of the rings: one cycle for a join,
    ``config.phases`` for a new cluster; ``settled`` marks the last one and ``filled`` that the
    cluster joined is full now. At the end of a packet (``close``) the lowest cluster is sealed,
    3 cycles each, until the window fits, and the trailer is sent.

    Source: paper (HC-table updater); what is sealed when is our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Size the ports after ``config``."""
        self.config = config
        super().__init__(
            {
                "begin": In(1),
                "job": In(loaded_job(config)),
                "close": In(1),
                "closed": Out(1),
                "refused": In(1),
                "bank": In(1),
                "cap": In(NUMBER_BITS),
                "recent_window": In(NUMBER_BITS),
                "decision": In(stream.Signature(decision(config), always_ready=True)),
                "leader_hash": In(config.hyperplanes),
                "leader_index": In(NUMBER_BITS),
                "room": Out(1),
                "settled": Out(1),
                "filled": Out(1),
                "base": Out(NUMBER_BITS),
                "low": Out(NUMBER_BITS),
                "head": Out(NUMBER_BITS),
                "write": Out(stream.Signature(ring_write(config), always_ready=True)),
                "lanes": In(ring_lanes(config)),
                "sealing": Out(1),
                "count_word": Out(word_bits(config)),
                "assign": Out(stream.Signature(ASSIGNMENT)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the bounds, the write of a decision and the end of a packet."""
        m = Module()
        window = Signal(window_bits(self.config))
        m.d.comb += self.room.eq(~self.assign.valid)
        with m.If(self.assign.ready):
            m.d.sync += self.assign.valid.eq(0)
        with m.If(self.begin & ~self.job.resume):
            m.d.sync += [
                self.base.eq(self.job.base),
                self.low.eq(self.job.low),
                self.head.eq(self.job.head),
                window.eq(self.job.window),
            ]
        self._decide(m, window)
        self._close(m, window)
        return m

    def _decide(self, m: Module, window: Signal) -> None:
        """Turn a decision into an assignment, then write it into the rings."""
        config = self.config
        best = self.decision.payload
        write = self.write.payload
        opened = ~best.found
        ring_full = Signal()
        known = Signal()
        number = Signal(NUMBER_BITS)
        count = Signal(NUMBER_BITS)
        m.d.sync += ring_full.eq((self.head - self.low)[exact_log2(config.joinable)])
        # The scan may have read the count before the join that the last decision made.
        stale = known & (best.number == write.number)
        m.d.comb += [
            number.eq(Mux(best.found, best.number, self.head)),
            count.eq(Mux(best.found, Mux(stale, write.count, best.count), 0)),
        ]
        with m.If(self.begin):
            m.d.sync += known.eq(0)
        with m.If(self.decision.valid):
            m.d.sync += [
                known.eq(1),
                window.eq(window + 1),
                self.head.eq(self.head + opened),
                self.low.eq(self.low + (opened & ring_full)),
                self.write.valid.eq(1),
                write.number.eq(number),
                write.count.eq(count + 1),
                write.hashed.eq(opened),
                write.phase.eq(0),
                self.assign.valid.eq(1),
                self.assign.p.number.eq(number),
                self.assign.p.opened.eq(opened),
                self.assign.p.error.eq(0),
                self.assign.p.last.eq(0),
            ]
        with m.If(self.write.valid):
            m.d.sync += write.phase.eq(write.phase + 1)
            with m.If(~write.hashed | (write.phase == config.phases - 1)):
                m.d.comb += self.settled.eq(1)
                m.d.sync += self.write.valid.eq(0)
        m.d.comb += [
            write.bank.eq(self.bank),
            write.chunk.eq(chunk(config, self.leader_hash, write.phase)),
            write.first.eq(self.leader_index),
            self.filled.eq(~write.hashed & (write.count >= self.cap)),
        ]

    def _close(self, m: Module, window: Signal) -> None:
        """Seal until the window fits, then send the trailer."""
        lane = self.base[: lane_bits(self.config)]
        counts = Array(held.count for held in self.lanes)
        sealed_count = Signal(NUMBER_BITS)
        m.d.comb += self.count_word.eq(self.base[lane_bits(self.config) :])
        with m.FSM():
            with m.State("FOLLOW"), m.If(self.close):
                m.next = "FIT"
                with m.If(self.refused):
                    m.next = "TRAILER"
            with m.State("FIT"):
                m.d.comb += self.sealing.eq(1)
                m.next = "TRAILER"
                with m.If((window > self.recent_window) & (self.base != self.head)):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += sealed_count.eq(counts[lane])
                m.next = "SEAL"
            with m.State("SEAL"):
                m.d.sync += [window.eq(window - sealed_count), self.base.eq(self.base + 1)]
                with m.If(self.low == self.base):
                    m.d.sync += self.low.eq(self.base + 1)
                m.next = "FIT"
            with m.State("TRAILER"), m.If(self.room):
                m.d.comb += self.closed.eq(1)
                m.d.sync += [
                    self.assign.valid.eq(1),
                    self.assign.p.number.eq(Mux(self.refused, 0, self.base)),
                    self.assign.p.opened.eq(0),
                    self.assign.p.error.eq(self.refused),
                    self.assign.p.last.eq(1),
                ]
                m.next = "FOLLOW"
