"""HCU, WTU and row aggregator behind queues of jobs: the KVPU without its registers."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.fork import Fork
from vrex_hw.hcu import HCU
from vrex_hw.hcu.layouts import JOB as CLUSTER_JOB
from vrex_hw.kvpu import layouts
from vrex_hw.kvpu.aggregator import JOB as SELECT_JOB
from vrex_hw.kvpu.aggregator import Aggregator
from vrex_hw.kvpu.flow import RowGate
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.kvpu.queue import JobQueue
from vrex_hw.registers.kvpu import COUNTERS, QUEUE_DEPTH
from vrex_hw.wtu import WTU
from vrex_hw.wtu.layouts import Layouts

CLUSTER_PARAMETERS = data.StructLayout(
    {"hamming_threshold": 7, "join_window": 16, "cluster_cap": 16, "recent_window": 16}
)
"""What a cluster job is started with, by the names of the HCU's inputs."""
SELECT_PARAMETERS = data.StructLayout({"ratio": 17, "k_min": 16, "k_max": 16})
"""What a select job is started with, by the names of the WTU's inputs."""


COUNTS = data.StructLayout({name: 32 for name, _ in COUNTERS})


class StartSignature(wiring.Signature):
    """Starts jobs of one kind; seen from who starts them (:class:`~vrex_hw.kvpu.queue.JobQueue`).

    ``start`` queues ``entry``, a job and its parameters, unless the queue is ``full``: then
    ``dropped`` is high. ``busy``: a job is queued or runs; ``done`` pulses at the end of each.
    """

    def __init__(self, job: data.Layout, parameters: data.Layout) -> None:
        """Make it for jobs and parameters of these layouts."""
        self.job, self.parameters = job, parameters
        entry = data.StructLayout({"job": job, "parameters": parameters})
        flags = {name: In(1) for name in ("full", "dropped", "busy", "done")}
        super().__init__({"start": Out(1), "entry": Out(entry), **flags})


class Engine(wiring.Component):
    """The units of the KV prediction unit for ``config``; its streams are those of the KVPU.

    A cluster job takes ``entries`` beats of ``s_axis_table`` (none if it resumes) and ``tokens``
    beats of ``s_axis_hash``, and gives one packet on ``m_axis_assign``. A select job takes
    ``rows`` packets of ``s_axis_row``, and gives as many on ``m_axis_row`` and one on
    ``m_axis_selected``. Both kinds run side by side, each in the order of its starts; a stream
    whose job has not been started waits. Every packet out ends in a trailer with TLAST. Latency
    and throughput are those of :class:`~vrex_hw.hcu.HCU`, :class:`~vrex_hw.wtu.WTU` and
    :class:`~vrex_hw.kvpu.aggregator.Aggregator`; a job reaches its unit a cycle after its start.
    ``job_refused`` and ``row_too_long`` pulse. Source: the paper's KVPU; streams are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``."""
        self._config = config
        ports = KVPUSignature(config).members
        super().__init__(
            {
                **{name: ports[name] for name in ports if "axis" in name},
                "cluster": In(StartSignature(CLUSTER_JOB, CLUSTER_PARAMETERS)),
                "select": In(StartSignature(SELECT_JOB, SELECT_PARAMETERS)),
                "job_refused": Out(1),
                "row_too_long": Out(1),
                "counts": Out(COUNTS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Put the units behind their queues and streams."""
        m = Module()
        self._cluster(m)
        self._select(m)
        return m

    def _queue(self, m: Module, starter: Any) -> JobQueue:
        """Make the queue of the jobs that ``starter`` starts."""
        kind = starter.signature
        queue = JobQueue(kind.job, kind.parameters, QUEUE_DEPTH)
        m.d.comb += [
            queue.start.eq(starter.start),
            queue.entry.eq(starter.entry),
            starter.full.eq(queue.full),
            starter.dropped.eq(queue.dropped),
            starter.busy.eq(queue.busy),
            starter.done.eq(queue.done),
        ]
        return queue

    def _cluster(self, m: Module) -> None:
        """Build the HCU behind its queue."""
        m.submodules.hcu = hcu = HCU(self._config.hcu)
        queue = self._queue(m, self.cluster)
        m.submodules.cluster_queue = queue
        table, out = self.s_axis_table.tdata, self.m_axis_assign
        for name in CLUSTER_PARAMETERS.members:
            m.d.comb += getattr(hcu, name).eq(getattr(queue.parameters, name))
        wiring.connect(m, queue.issue, hcu.job)
        trailer = hcu.assign.valid & hcu.assign.ready & hcu.assign.p.last
        m.d.comb += [
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
            self.job_refused.eq(trailer & hcu.assign.p.error),
        ]
        self._count(m, "hcu", hcu)

    def _select(self, m: Module) -> None:
        """Build the WTU and the aggregator behind their queue."""
        config, shapes = self._config.wtu, Layouts(self._config.wtu)
        m.submodules.wtu = wtu = WTU(config)
        m.submodules.aggregator = aggregator = Aggregator(config)
        m.submodules.gate = gate = RowGate(SELECT_JOB, shapes.row)
        m.submodules.job_fork = job_fork = Fork(SELECT_JOB)
        m.submodules.row_fork = row_fork = Fork(shapes.selected)
        m.submodules.waiting = waiting = SyncFIFOBuffered(width=SELECT_JOB.size, depth=QUEUE_DEPTH)
        queue = self._queue(m, self.select)
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
            out.tdata.number.eq(union.p.number),
            out.tdata.error.eq(union.p.error),
            out.tlast.eq(union.p.last),
            *axi.send(union, out),
            queue.done.eq(union.valid & union.ready & union.p.last),
            self.row_too_long.eq(refused),
        ]
        self._count(m, "wtu", wtu)

    def _count(self, m: Module, prefix: str, unit: Any) -> None:
        """Give out the counters of ``unit``, whose names begin with ``prefix``."""
        for name in COUNTS.members:
            if name.startswith(f"{prefix}_"):
                m.d.comb += self.counts[name].eq(getattr(unit, name.removeprefix(f"{prefix}_")))

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
