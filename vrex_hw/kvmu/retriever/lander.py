"""Writes the lines that the host sends to the slots of their clusters."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, LINE, Fault, line_layout
from vrex_hw.kvmu.ports import WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import LANDING

PENDING = 8
"""Bits of the number of writes under way."""


class Lander(wiring.Component):
    """Lands clusters: token by token, each its key's chunks, then its value's, each a line.

    ``landing`` names the clusters in the order of their lines, each for a cycle; so does ``line``
    give the lines. There is room for ``request_lines`` of either: who asks the host for lines
    counts them, and ``freed`` pulses with each that has left. A line goes to {value, chunk, token}
    of its slot with a write of its own. The resident slots begin at ``resident``, the transient
    ones at ``transient``; a write to the one area waits until those to the other are done, for
    ``write.base`` tells the area. ``chunks_log2`` and both addresses hold while anything lands.

    ``fault`` is not 0 in a cycle that sees a write fail. With ``stop`` no more writes begin, lines
    and clusters are dropped. ``idle``: nothing waits and every write is done; ``dry``: nothing
    happens until lines come. Up to a line a cycle; latency 4 cycles. Our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size the FIFOs, the areas and the places in a slot by ``config``."""
        self._config = config
        line = data.StructLayout({"valid": 1, "data": line_layout(config.lxe.side)})
        super().__init__(
            {
                "stop": In(1),
                "resident": In(LINE),
                "transient": In(LINE),
                "chunks_log2": In(4),
                "landing": In(data.StructLayout({"valid": 1, "p": LANDING})),
                "line": In(line),
                "freed": Out(1),
                "fault": Out(FAULT),
                "idle": Out(1),
                "dry": Out(1),
                "write": Out(WriteSignature(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the FIFOs of lines and clusters, the requests and the lines of the writes."""
        m = Module()
        depth, bits = self._config.kvmu.request_lines, Regions(self._config).line_bits
        m.submodules.lines = lines = SyncFIFOBuffered(width=bits, depth=depth + 1)
        m.submodules.clusters = clusters = SyncFIFOBuffered(width=LANDING.size, depth=depth + 1)
        write, head, may = self.write, Signal(LANDING), Signal()
        ahead = Signal(range(depth + 2))
        """Lines whose write has begun and that have not left."""
        pending, begins, ends, leaves = Signal(PENDING), Signal(), Signal(), Signal()
        m.d.comb += [
            clusters.w_data.eq(self.landing.p),
            clusters.w_en.eq(self.landing.valid),
            clusters.r_en.eq(ends | self.stop),
            head.eq(clusters.r_data),
            lines.w_data.eq(self.line.data),
            lines.w_en.eq(self.line.valid & ~self.stop),
            lines.r_en.eq(leaves | (self.stop & (ahead == 0))),
            self.freed.eq(lines.r_en & lines.r_rdy),
            # A line goes when the request of its write has gone.
            write.line.valid.eq(lines.r_rdy & (ahead > write.request.valid)),
            write.line.p.data.eq(lines.r_data),
            write.line.p.mask.eq(~0),
            leaves.eq(write.line.valid & write.line.ready),
            self.dry.eq((lines.level == 0) & (pending == 0)),
            self.idle.eq(self.dry & (clusters.level == 0)),
            may.eq(clusters.r_rdy & (lines.level > ahead) & ~pending.all() & ~self.stop),
        ]
        m.d.sync += ahead.eq(ahead + begins - leaves)
        m.d.sync += pending.eq(pending + begins - write.done.valid)
        with m.If(write.done.valid):
            error = Mux(write.done.error, Fault.MEMORY_WRITE, Fault.NONE)
            m.d.comb += self.fault.eq(Mux(write.done.outside, Fault.OUT_OF_BOUNDS, error))
        self._begin(m, head, may, pending == 0, begins, ends)
        return m

    def _begin(self, m: Module, head: Any, may: Any, quiet: Any, begins: Any, ends: Any) -> None:
        """Begin the writes of the cluster at the head, in its area once the other is ``quiet``."""
        kvmu, wtu, regions = self._config.kvmu, self._config.wtu, Regions(self._config)
        token, chunk = Signal(regions.token_bits), Signal(regions.chunk_bits)
        value, area, last_chunk = Signal(), Signal(), Signal()
        request = self.write.request
        place = Cat(token, chunk, value, head.slot)
        sizes = [n << regions.slot_bits for n in (kvmu.resident_slots, wtu.entries)]
        m.d.comb += [
            self.write.base.eq(Mux(area, self.transient, self.resident)),
            self.write.size.eq(Mux(area, sizes[1], sizes[0])),
            begins.eq(may & (area == head.transient) & (~request.valid | request.ready)),
            last_chunk.eq(chunk == ((1 << self.chunks_log2) - 1)[: len(chunk)]),
            ends.eq(begins & last_chunk & value & (token == (head.count - 1)[: len(token)])),
        ]
        with m.If(may & quiet):
            m.d.sync += area.eq(head.transient)
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(begins):
            m.d.sync += [request.valid.eq(1), request.p.lines.eq(1)]
            m.d.sync += request.p.address.eq(self.write.base + place)
            m.d.sync += chunk.eq(Mux(last_chunk, 0, chunk + 1))
            with m.If(last_chunk):
                m.d.sync += [value.eq(~value), token.eq(token + value)]
        with m.If(ends | self.stop):
            m.d.sync += [token.eq(0), chunk.eq(0), value.eq(0)]
