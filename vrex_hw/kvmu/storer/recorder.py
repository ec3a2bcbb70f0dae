"""Writes what stays of a sealed cluster: its mean, its count, its entry in the map."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.ports import MapSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import TASK, job_layout, line_write
from vrex_hw.vpe.mean import mean_layout

TASKS = 2
"""Clusters whose mean is made or waits to be."""


class Recorder(wiring.Component):
    """For each ``task``: the count into its tile's line, the map's entry, then the mean's chunks.

    ``job`` is held while ``busy``; a task's number is below ``wtu.entries``. ``mean`` brings
    the chunks, task by task. A cycle for the count and the entry, one a chunk; a task waits 1
    cycle. ``recorded`` pulses with a task's last line. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "job": In(job_layout(config)),
                "task": In(stream.Signature(TASK)),
                "mean": In(stream.Signature(mean_layout(config))),
                "write": Out(stream.Signature(line_write(config))),
                "map": Out(MapSignature(config)),
                "recorded": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Write the count, then the mean."""
        m = Module()
        regions, side, write = Regions(self._config), self._config.lxe.side, self.write
        m.submodules.tasks = tasks = SyncFIFO(width=TASK.size, depth=TASKS)
        task, chunk, counted = TASK(tasks.r_data), Signal(regions.chunk_bits), Signal()
        counts, means = Signal(LINE), Signal(LINE)
        m.d.sync += [
            counts.eq(self.job.state + regions.counts),
            means.eq(self.job.state + regions.means),
        ]
        number = task.number[: exact_log2(self._config.wtu.entries)]
        rows = exact_log2(side)
        row, tile = number[:rows], number[rows:]
        line = Cat(row, Const(0, rows - len(row)), chunk, tile)
        m.d.comb += [
            tasks.w_data.eq(self.task.p),
            tasks.w_en.eq(self.task.valid),
            self.task.ready.eq(tasks.w_rdy),
            write.valid.eq(Mux(counted, self.mean.valid, tasks.r_rdy)),
            write.p.address.eq(Mux(counted, means, counts) + Mux(counted, line, tile)),
            self.mean.ready.eq(counted & write.ready),
            self.busy.eq(tasks.r_rdy),
        ]
        taken = write.valid & write.ready
        with m.If(counted):
            m.d.comb += [write.p.data.eq(self.mean.p.data), write.p.mask.eq(~0)]
            m.d.comb += [tasks.r_en.eq(self.recorded), self.recorded.eq(taken & self.mean.p.last)]
            with m.If(taken):
                m.d.sync += [chunk.eq(chunk + 1), counted.eq(~self.mean.p.last)]
            with m.If(self.recorded):
                m.d.sync += chunk.eq(0)
        with m.Else():
            m.d.comb += [lane.eq(task.count) for lane in write.p.data]
            m.d.comb += write.p.mask.eq(1 << row)
            m.d.sync += counted.eq(taken)
        self._enter(m, task, number, taken & ~counted)
        return m

    def _enter(self, m: Module, task: Any, number: Any, now: Any) -> None:
        """Write the entry: on the host from ``offset`` on, not resident."""
        lane_bits = exact_log2(Regions(self._config).map_lanes)
        m.d.comb += [
            self.map.write.eq(now << number[:lane_bits]),
            self.map.write_address.eq(number[lane_bits:]),
        ]
        for entry in self.map.write_data:
            m.d.comb += [entry.offset.eq(task.offset), entry.count.eq(task.count)]
