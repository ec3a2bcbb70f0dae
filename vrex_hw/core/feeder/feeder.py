"""The feeder: feed jobs in, the LXE's commands, activations and matrices out."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.feeder.fetcher import Fetcher
from vrex_hw.core.feeder.layouts import (
    FED,
    FEED,
    MATRIX_TAG,
    ROW_TAG,
    SETTINGS,
    chunks_log2_bits,
    part_layout,
)
from vrex_hw.core.feeder.matrix import Matrix
from vrex_hw.core.feeder.rows import Rows
from vrex_hw.core.feeder.splitter import Splitter
from vrex_hw.core.segments import SegmentSignature
from vrex_hw.fork import Fork
from vrex_hw.kvmu.layouts import Fault
from vrex_hw.kvmu.ports import ReadSignature
from vrex_hw.lxe.layouts import KIND_BITS, Kind, Layouts

JOBS = 4
"""Jobs whose lines have not all come; the next waits."""
MATRIX_LINES = 128
"""Lines of the matrix that are on the way or wait: a memory latency, and the longest burst."""
ROW_LINES = 32
"""The same for activations, of which few are needed; a row of the longest has room twice."""
ONE = 0x3F800000
"""1.0, the scale of hash bits."""


class Feeder(wiring.Component):
    """Does feed jobs (:data:`FEED`) in order: everything that they make the LXE read.

    A job of more rows than ``lxe.rows`` is several commands, each with its matrix. Activations
    and matrix are read by two clients, ``read_rows`` and ``read_matrix``, as far ahead as their
    FIFOs have room and across commands and jobs: while the LXE drains a command the next one's
    come. ``fed`` (:data:`FED`): one a job, in order, when all that it reads has come from memory;
    what memory answered with an error goes to the LXE all the same. ``busy``: a job is not
    reported. The plain inputs are held while there is a job in the feeder or the LXE;
    ``chunks_log2`` is that of ceil(``dimension`` / side), a power of two.

    Throughput: a line a cycle on each client, but for 2 cycles a pass in which no burst is asked
    for, which the FIFO hides where a burst has more than a line. Latency: 4 cycles from ``feed``
    to its first row's request, 5 to its matrix's (8 for ATTEND), 2 from a line to the LXE.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``, whose ``lxe.load_rows`` is 1."""
        self._config, self._layouts = config, Layouts(config)
        layouts = self._layouts
        super().__init__(
            {
                "feed": In(stream.Signature(FEED)),
                "fed": Out(stream.Signature(FED)),
                "busy": Out(1),
                "dimension": In(layouts.command["dimension"].shape),
                "chunks_log2": In(chunks_log2_bits(config)),
                **{name: In(shape) for name, shape in SETTINGS.items()},
                "segments": Out(SegmentSignature(config)),
                "read_rows": Out(ReadSignature(config)),
                "read_matrix": Out(ReadSignature(config)),
                "command": Out(stream.Signature(layouts.command)),
                "activation": Out(stream.Signature(layouts.activation)),
                "matrix": Out(stream.Signature(layouts.matrix)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Split jobs into commands, and fetch both operands of each."""
        m = Module()
        config = self._config
        part = part_layout(config)
        rows_depth = max(ROW_LINES, 2 * config.chunks)
        m.submodules.splitter = splitter = Splitter(config)
        m.submodules.fork = fork = Fork(part, 3)
        m.submodules.rows = rows = Rows(config)
        m.submodules.matrix_walk = matrix = Matrix(config)
        m.submodules.row_fetcher = row_fetcher = Fetcher(config, ROW_TAG, rows_depth)
        m.submodules.matrix_fetcher = matrix_fetcher = Fetcher(config, MATRIX_TAG, MATRIX_LINES)
        connect(m, splitter.part, fork.i)
        self._command(m, fork.o[0])
        connect(m, fork.o[1], rows.part)
        connect(m, fork.o[2], matrix.part)
        connect(m, rows.fetch, row_fetcher.i)
        connect(m, matrix.fetch, matrix_fetcher.i)
        connect(m, row_fetcher.read, flipped(self.read_rows))
        connect(m, matrix_fetcher.read, flipped(self.read_matrix))
        connect(m, matrix.segments, flipped(self.segments))
        m.d.comb += [
            splitter.hyperplanes.eq(self.hyperplanes),
            rows.chunks_log2.eq(self.chunks_log2),
            matrix.dimension.eq(self.dimension),
            matrix.planes.eq(self.planes),
            self.activation.valid.eq(row_fetcher.o.valid),
            self.activation.p.data.eq(row_fetcher.o.p.data),
            self.activation.p.limit.eq(row_fetcher.o.p.tag.limit),
            row_fetcher.o.ready.eq(self.activation.ready),
        ]
        self._matrix(m, matrix_fetcher.o)
        self._report(m, splitter, row_fetcher.done, matrix_fetcher.done)
        return m

    def _command(self, m: Module, part: Any) -> None:
        """Give the LXE each part that has rows as a command."""
        job, command = part.p.job, self.command
        some, scores = part.p.rows != 0, part.p.job.kind == Kind.SCORE
        hashes = job.kind == Kind.HASH
        m.d.comb += [
            command.valid.eq(part.valid & some),
            part.ready.eq(command.ready | ~some),
            command.p.kind.eq(job.kind),
            command.p.rows.eq(part.p.rows),
            command.p.dimension.eq(self.dimension),
            command.p.columns.eq(job.columns),
            command.p.scale.eq(Mux(hashes, ONE, Mux(scores, self.scale_score, self.scale_attend))),
            command.p.map.eq(Mux(scores, self.map, 0)),
            command.p.temperature.eq(Mux(scores, self.temperature, 0)),
        ]

    def _matrix(self, m: Module, o: Any) -> None:
        """Keep a line of token counts, and put them beside the rows that follow, one by one."""
        counts = Signal(self._config.lxe.side * 16)
        row = self.matrix
        m.d.comb += [
            row.valid.eq(o.valid & ~o.p.tag.counts),
            row.p.rows[0].eq(o.p.data),
            row.p.counts[0].eq(counts[:16]),
            o.ready.eq(row.ready | o.p.tag.counts),
        ]
        with m.If(o.valid & o.p.tag.counts):
            m.d.sync += counts.eq(o.p.data)
        with m.Elif(row.valid & row.ready):
            m.d.sync += counts.eq(Cat(counts[16:], Const(0, 16)))

    def _report(self, m: Module, splitter: Any, rows: Any, matrix: Any) -> None:
        """Report a job when both its clients have all lines."""
        m.submodules.kinds = kinds = SyncFIFO(width=KIND_BITS, depth=JOBS)
        m.d.comb += [
            splitter.feed.valid.eq(self.feed.valid & kinds.w_rdy),
            splitter.feed.p.eq(self.feed.p),
            self.feed.ready.eq(splitter.feed.ready & kinds.w_rdy),
            kinds.w_en.eq(self.feed.valid & self.feed.ready),
            kinds.w_data.eq(self.feed.p.kind),
            self.busy.eq(kinds.r_rdy),
            kinds.r_en.eq(self.fed.valid & self.fed.ready),
        ]
        ends = []
        for name, done in (("row_ends", rows), ("matrix_ends", matrix)):
            m.submodules[name] = fifo = SyncFIFO(width=1, depth=JOBS)
            ends.append(fifo)
            m.d.comb += [
                fifo.w_en.eq(done.valid),
                fifo.w_data.eq(done.error),
                fifo.r_en.eq(self.fed.valid & self.fed.ready),
            ]
        failed = ends[0].r_data | ends[1].r_data
        m.d.comb += [
            self.fed.valid.eq(ends[0].r_rdy & ends[1].r_rdy),
            self.fed.p.kind.eq(kinds.r_data),
            self.fed.p.fault.eq(Mux(failed[0], Fault.MEMORY_READ, Fault.NONE)),
        ]
