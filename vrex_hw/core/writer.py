"""Writes a frame's attention to memory, as the LXE gives it."""

from typing import Any

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import chunks_log2_bits
from vrex_hw.core.row_walk import RowWalk
from vrex_hw.kvmu.layouts import FAULT, LINE, Fault, line_layout
from vrex_hw.kvmu.ports import WriteSignature
from vrex_hw.lxe.layouts import Layouts
from vrex_hw.lxe.operands import prefix

WRITE = data.StructLayout(
    {"out": LINE, "stride": 16, "tokens": 16, "group": 16, "base": LINE, "size": LINE}
)
"""The attention of one feed job: it goes to ``out``, [tokens, group, chunks], ``stride`` lines
from token to token, all of it within ``size`` lines from ``base`` on."""
WRITTEN = data.StructLayout({"fault": FAULT})
"""All is written; ``fault``: NONE, MEMORY_WRITE or OUT_OF_BOUNDS, the first there was."""
OUTSTANDING = 64
"""Lines that are asked to be written and are not yet."""
LINES = 4
"""Beats that wait for their request to be taken."""


class Writer(wiring.Component):
    """Takes a job's ``attention``, command by command, and writes each beat to its line.

    A command has ``lxe.rows`` rows or what is left of tokens times group; its beats come chunk by
    chunk, in each row by row (g * tokens + t). ``port``: a burst of one line a beat, in which the
    last chunk's elements past ``dimension`` are masked. ``done``: when all of a job is written.
    A job is taken when the one before is done. ``dimension`` and ``chunks_log2`` are those of the
    :class:`~vrex_hw.core.feeder.feeder.Feeder`. ``busy``: a job is in hand.

    A line a cycle; 2 cycles from a job to its first beat, 1 from a beat to its request. Source:
    our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config, self._layouts = config, Layouts(config)
        self._line = data.StructLayout(
            {"data": line_layout(config.lxe.side), "mask": config.lxe.side}
        )
        super().__init__(
            {
                "job": In(stream.Signature(WRITE)),
                "done": Out(stream.Signature(WRITTEN)),
                "busy": Out(1),
                "dimension": In(self._layouts.command["dimension"].shape),
                "chunks_log2": In(chunks_log2_bits(config)),
                "attention": In(stream.Signature(self._layouts.attention)),
                "port": Out(WriteSignature(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count a job's rows down, command by command, and wait for the last write."""
        m = Module()
        most = self._config.lxe.rows
        job, left, rows = Signal(WRITE), Signal(32), Signal(range(most + 1))
        m.submodules.walk = walk = RowWalk(self._config)
        run, beat = Signal(), Signal()
        m.d.comb += [
            self.port.base.eq(job.base),
            self.port.size.eq(job.size),
            rows.eq(Mux(left < most, left, most)),
            walk.address.eq(job.out),
            walk.tokens.eq(job.tokens),
            walk.stride.eq(job.stride),
            walk.chunks.eq(Const(1) << self.chunks_log2),
        ]
        chunk, last_chunk, ends = self._walk(m, walk, rows, beat)
        idle = self._write(m, walk.line + chunk, last_chunk, run, beat)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += job.eq(self.job.p)
                with m.If(self.job.valid):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += walk.start.eq(1)
                m.d.sync += left.eq(job.tokens * job.group)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += run.eq(left != 0)
                with m.If(ends):
                    m.d.sync += left.eq(left - rows)
                with m.If(~run & idle):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.valid.eq(1)
                with m.If(self.done.ready):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        self._judge(m, walk.start)
        return m

    def _walk(self, m: Module, walk: Any, rows: Signal, beat: Signal) -> tuple[Signal, ...]:
        """Go through a command's rows once a chunk; return the chunk, and what ends with a beat."""
        row, chunk = Signal.like(rows), Signal.like(walk.chunks)
        last_row, last_chunk, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            last_row.eq(row == rows - 1),
            last_chunk.eq(chunk == walk.chunks - 1),
            ends.eq(beat & last_row & last_chunk),
            walk.step.eq(beat),
            walk.back.eq(beat & last_row & ~last_chunk),
            walk.mark.eq(ends),
        ]
        with m.If(beat):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            with m.If(last_row):
                m.d.sync += chunk.eq(Mux(last_chunk, 0, chunk + 1))
        return chunk, last_chunk, ends

    def _write(self, m: Module, address: Value, last: Signal, run: Signal, beat: Signal) -> Value:
        """Ask for each beat's line and bring it; return whether all lines are written.

        A line is offered when its request has been taken.
        """
        attention, request, port = self.attention, self.port.request, self.port
        side = self._config.lxe.side
        m.submodules.lines = lines = SyncFIFO(width=self._line.size, depth=LINES)
        pending, owed = Signal(range(OUTSTANDING + 1)), Signal(range(LINES + 1))
        line, width = Signal(self._line), Signal(range(side + 1))
        asked, brought = request.valid & request.ready, port.line.valid & port.line.ready
        beyond = self.dimension[: exact_log2(side)]
        m.d.comb += [
            attention.ready.eq(
                run & (~request.valid | request.ready) & lines.w_rdy & (pending != OUTSTANDING)
            ),
            beat.eq(attention.valid & attention.ready),
            width.eq(Mux(last & (beyond != 0), beyond, side)),
            line.data.eq(attention.p.data),
            line.mask.eq(prefix(width, side)),
            lines.w_en.eq(beat),
            lines.w_data.eq(line),
            lines.r_en.eq(brought),
            port.line.valid.eq(lines.r_rdy & (owed != 0)),
            port.line.p.eq(lines.r_data),
            request.p.lines.eq(1),
        ]
        m.d.sync += [
            pending.eq(pending + beat - port.done.valid),
            owed.eq(owed + asked - brought),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(beat):
            m.d.sync += [request.valid.eq(1), request.p.address.eq(address)]
        return pending == 0

    def _judge(self, m: Module, start: Signal) -> None:
        """Keep the job's first fault."""
        written, fault = self.port.done, self.done.p.fault
        with m.If(start):
            m.d.sync += fault.eq(Fault.NONE)
        with m.Elif(written.valid & (fault == Fault.NONE)):
            with m.If(written.outside):
                m.d.sync += fault.eq(Fault.OUT_OF_BOUNDS)
            with m.Elif(written.error):
                m.d.sync += fault.eq(Fault.MEMORY_WRITE)
