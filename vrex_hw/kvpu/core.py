"""The KVPU: HCU, WTU and row aggregator as an IP block on AXI4-Lite and AXI4-Stream."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.fork import Fork
from vrex_hw.hcu import HCU
from vrex_hw.hcu.layouts import JOB as CLUSTER_JOB
from vrex_hw.kvpu import layouts
from vrex_hw.kvpu.aggregator import JOB as SELECT_JOB
from vrex_hw.kvpu.aggregator import Aggregator
from vrex_hw.kvpu.flow import RowGate, Watchdog
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.kvpu.queue import JobQueue
from vrex_hw.registers import QUEUE_DEPTH, SINKS, SOURCES
from vrex_hw.registers.block import RegisterBlock
from vrex_hw.wtu import WTU
from vrex_hw.wtu.layouts import Layouts

CLUSTER_PARAMETERS = data.StructLayout(
    {"hamming_threshold": 7, "join_window": 16, "cluster_cap": 16, "recent_window": 16}
)
"""What a cluster job is started with, by the names of the HCU's inputs."""
SELECT_PARAMETERS = data.StructLayout({"ratio": 17, "k_min": 16, "k_max": 16})
"""What a select job is started with, by the names of the WTU's inputs."""


class KVPU(wiring.Component):
    """The KV prediction unit for ``config``; its ports are told at :class:`KVPUSignature`.

    A cluster job takes ``entries`` beats of ``s_axis_table`` (none if it resumes) and ``tokens``
    beats of ``s_axis_hash``, and gives one packet on ``m_axis_assign``. A select job takes
    ``rows`` packets of ``s_axis_row``, and gives as many on ``m_axis_row`` and one on
    ``m_axis_selected``. Both kinds run side by side, each in the order of its commands; a stream
    whose job has not been started waits. Every packet out ends in a trailer with TLAST. Latency
    and throughput are those of :class:`~vrex_hw.hcu.HCU`, :class:`~vrex_hw.wtu.WTU` and
    :class:`~vrex_hw.kvpu.aggregator.Aggregator`; a job reaches its unit 3 cycles after the write
    of its command is complete. Source: the paper's KVPU; registers and streams are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``."""
        self._config = config
        super().__init__(KVPUSignature(config))

    @property
    def config(self) -> Config:
        """The sizes it was made for."""
        return self._config

    def elaborate(self, platform: Any) -> Module:
        """Put the units behind their queues and streams, and all of it behind the registers."""
        m = Module()
        m.submodules.registers = registers = RegisterBlock(self._config)
        wiring.connect(m, wiring.flipped(self.s_axil), registers.bus)
        m.d.comb += self.irq.eq(registers.irq)
        clusters = self._cluster(m, registers)
        selects = self._select(m, registers)
        m.d.comb += [
            registers.events.cluster_busy.eq(clusters.busy),
            registers.events.cluster_full.eq(clusters.full),
            registers.events.cluster_dropped.eq(clusters.dropped),
            registers.events.cluster_done.eq(clusters.done),
            registers.events.select_busy.eq(selects.busy),
            registers.events.select_full.eq(selects.full),
            registers.events.select_dropped.eq(selects.dropped),
            registers.events.select_done.eq(selects.done),
        ]
        selecting = ("s_axis_row", "m_axis_row", "m_axis_selected")
        for name in SINKS + SOURCES:
            self._watch(m, registers, name, (selects if name in selecting else clusters).busy)
        return m

    def _queue(self, m: Module, registers: Any, job: Any, parameters: Any) -> JobQueue:
        """Make a queue whose entries come from the settings of the same names."""
        queue = JobQueue(job, parameters, QUEUE_DEPTH)
        for part, layout in ((queue.entry.job, job), (queue.entry.parameters, parameters)):
            for name in layout.members:
                m.d.comb += getattr(part, name).eq(getattr(registers.settings, name))
        return queue

    def _cluster(self, m: Module, registers: Any) -> JobQueue:
        """Build the HCU behind its queue."""
        m.submodules.hcu = hcu = HCU(self._config.hcu)
        queue = self._queue(m, registers, CLUSTER_JOB, CLUSTER_PARAMETERS)
        m.submodules.cluster_queue = queue
        table, out = self.s_axis_table.tdata, self.m_axis_assign
        for name in CLUSTER_PARAMETERS.members:
            m.d.comb += getattr(hcu, name).eq(getattr(queue.parameters, name))
        wiring.connect(m, queue.issue, hcu.job)
        trailer = hcu.assign.valid & hcu.assign.ready & hcu.assign.p.last
        m.d.comb += [
            queue.start.eq(registers.command.start_cluster),
            hcu.hash.p.bits.eq(self.s_axis_hash.tdata.bits),
            hcu.table.p.hash.eq(table.hash.bits),
            hcu.table.p.first.eq(table.first),
            hcu.table.p.count.eq(table.count),
            out.tdata.number.eq(hcu.assign.p.number),
            out.tdata.opened.eq(hcu.assign.p.opened),
            out.tdata.error.eq(hcu.assign.p.error),
            out.tlast.eq(hcu.assign.p.last),
            *axi.receive(self.s_axis_hash, hcu.hash),
            *axi.receive(self.s_axis_table, hcu.table),
            *axi.send(hcu.assign, out),
            queue.done.eq(trailer),
            registers.events.job_refused.eq(trailer & hcu.assign.p.error),
        ]
        self._count(m, registers, "hcu", hcu)
        return queue

    def _select(self, m: Module, registers: Any) -> JobQueue:
        """Build the WTU and the aggregator behind their queue."""
        config, shapes = self._config.wtu, Layouts(self._config.wtu)
        m.submodules.wtu = wtu = WTU(config)
        m.submodules.aggregator = aggregator = Aggregator(config)
        m.submodules.gate = gate = RowGate(SELECT_JOB, shapes.row)
        m.submodules.job_fork = job_fork = Fork(SELECT_JOB)
        m.submodules.row_fork = row_fork = Fork(shapes.selected)
        m.submodules.waiting = waiting = SyncFIFOBuffered(width=SELECT_JOB.size, depth=QUEUE_DEPTH)
        queue = self._queue(m, registers, SELECT_JOB, SELECT_PARAMETERS)
        m.submodules.select_queue = queue
        for name in SELECT_PARAMETERS.members:
            m.d.comb += getattr(wtu, name).eq(getattr(queue.parameters, name))
        wiring.connect(m, queue.issue, job_fork.i)
        wiring.connect(m, job_fork.o[0], gate.job)
        m.d.comb += [
            waiting.w_data.eq(job_fork.o[1].p),
            waiting.w_en.eq(job_fork.o[1].valid),
            job_fork.o[1].ready.eq(waiting.w_rdy),
            aggregator.job.p.eq(waiting.r_data),
            aggregator.job.valid.eq(waiting.r_rdy),
            waiting.r_en.eq(aggregator.job.ready),
        ]
        self._rows_in(m, gate.i)
        wiring.connect(m, gate.o, wtu.row)
        wiring.connect(m, wtu.selected, row_fork.i)
        self._rows_out(m, row_fork.o[0])
        wiring.connect(m, row_fork.o[1], aggregator.selected)
        union, out = aggregator.union, self.m_axis_selected
        refused = wtu.selected.valid & wtu.selected.ready & wtu.selected.p.error
        m.d.comb += [
            queue.start.eq(registers.command.start_select),
            out.tdata.number.eq(union.p.number),
            out.tdata.error.eq(union.p.error),
            out.tlast.eq(union.p.last),
            *axi.send(union, out),
            queue.done.eq(union.valid & union.ready & union.p.last),
            registers.events.row_too_long.eq(refused),
        ]
        self._count(m, registers, "wtu", wtu)
        return queue

    def _count(self, m: Module, registers: Any, prefix: str, unit: Any) -> None:
        """Give the registers the counters of ``unit``, whose names begin with ``prefix``."""
        for name in registers.counts.shape().members:
            if name.startswith(f"{prefix}_"):
                source = getattr(unit, name.removeprefix(f"{prefix}_"))
                m.d.comb += getattr(registers.counts, name).eq(source)

    def _rows_in(self, m: Module, row: Any) -> None:
        """Unpack TDATA and TKEEP into ``row``."""
        axis, config = self.s_axis_row, self._config.wtu
        for index in range(config.lanes):
            entry, lane = axis.tdata.lanes[index], row.p.lanes[index]
            keep = axis.tkeep.word_select(index, layouts.ENTRY_BYTES)
            m.d.comb += [
                lane.weight.eq(entry.weight[: config.weight_bits]),
                lane.count.eq(entry.count[: config.count_bits]),
                lane.valid.eq(keep.all()),
            ]
        m.d.comb += [row.p.last.eq(axis.tlast), *axi.receive(axis, row)]

    def _rows_out(self, m: Module, selected: Any) -> None:
        """Pack a row's selection into TDATA, or its trailer."""
        axis, beat = self.m_axis_row, selected.p
        lanes = layouts.selection_layout(self._config.wtu)(Signal(axis.tdata.as_value().shape()))
        trailer = layouts.RESULT(Signal(layouts.RESULT.size))
        for index in range(self._config.wtu.lanes):
            m.d.comb += lanes.lanes[index].hit.eq(beat.lanes[index].hit)
            m.d.comb += lanes.lanes[index].word.eq(beat.lanes[index].word)
        m.d.comb += [
            trailer.number.eq(beat.number),
            trailer.error.eq(beat.error),
            axis.tdata.eq(Mux(beat.last, trailer.as_value(), lanes.as_value())),
            axis.tlast.eq(beat.last),
            *axi.send(selected, axis),
        ]

    def _watch(self, m: Module, registers: Any, name: str, busy: Any) -> None:
        """Time the stalls of stream ``name`` by its other side, while ``busy``."""
        m.submodules[f"watch_{name}"] = watchdog = Watchdog()
        axis = getattr(self, name)
        waits, for_ = (axis.tready, axis.tvalid) if name in SINKS else (axis.tvalid, axis.tready)
        m.d.comb += [
            watchdog.limit.eq(registers.settings.watchdog_limit),
            watchdog.stalled.eq(busy & waits & ~for_),
            getattr(registers.events, f"stalled_{name}").eq(watchdog.expired),
        ]
