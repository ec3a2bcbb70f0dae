"""The core: LXE, prediction engine and KVMU around a sequencer, with memory, link and registers."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.core.execution import Execution
from vrex_hw.core.jobs import Jobs
from vrex_hw.core.ports import CoreSignature
from vrex_hw.core.prediction import Prediction
from vrex_hw.core.predictor import Predictor
from vrex_hw.core.sequencer import Sequencer
from vrex_hw.core.settings import SETTINGS
from vrex_hw.core.statuses import Statuses
from vrex_hw.core.watch import Watch
from vrex_hw.kvmu.link_port import LinkPort
from vrex_hw.kvmu.retriever import Retriever
from vrex_hw.kvmu.storer import Storer
from vrex_hw.kvmu.table import Table
from vrex_hw.memory import ReadPort, WritePort
from vrex_hw.registers import CORE
from vrex_hw.registers.block import RegisterBlock
from vrex_hw.registers.core import JOB


class Core(wiring.Component):
    """All six steps, and the moving of the cache; its ports are told at :class:`CoreSignature`.

    A job (:data:`~vrex_hw.kvmu.layouts.DESCRIPTOR`) is a frame of one KV head of one layer: it
    scores and selects among the head's sealed clusters, fetches what is not in device memory,
    attends, stores the frame and sends what it seals to the host. What the core keeps of a head is
    its *state* in device memory (:mod:`vrex_hw.kvmu.regions`). The order of steps is that of
    :class:`~vrex_hw.core.sequencer.Sequencer`.

    Source: the paper's core; jobs, state, memory and link are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``; raises UserError for one that makes no core."""
        config.require_core()
        self._config = config
        super().__init__(CoreSignature(config))

    @property
    def config(self) -> Config:
        """The sizes it was made for."""
        return self._config

    def elaborate(self, platform: Any) -> Module:
        """Place the units, then connect them along the way of the data."""
        m = Module()
        config = self._config
        m.submodules.registers = registers = RegisterBlock(CORE, config)
        m.submodules.jobs = jobs = Jobs(config)
        m.submodules.predictor = predictor = Predictor(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.statuses = statuses = Statuses(config)
        m.submodules.execution = execution = Execution(config)
        m.submodules.prediction = prediction = Prediction(config)
        m.submodules.table = table = Table(config)
        m.submodules.retriever = retriever = Retriever(config)
        m.submodules.storer = storer = Storer(config)
        settings = Signal(SETTINGS)
        m.d.comb += [settings[n].eq(registers.settings[n]) for n in SETTINGS.members]
        m.d.comb += [u.settings.eq(settings) for u in (predictor, sequencer, execution)]

        self._jobs(m, registers, jobs, predictor, statuses)
        self._order(m, predictor, sequencer, statuses, execution)
        self._steps(m, sequencer, table, retriever, storer)
        self._predict(m, predictor, sequencer, execution, prediction, retriever, storer)
        readers = [jobs.read, predictor.read, table.read, execution.read_rows, storer.read]
        writers = [statuses.write, table.write, storer.write, execution.write, retriever.write]
        self._memory(m, [*readers, execution.read_matrix], writers)
        link = self._link(m, settings, sequencer, retriever, storer)
        self._count(m, registers, statuses, prediction, retriever, storer, link)
        self._report(m, registers, predictor, sequencer, statuses, jobs, execution, link)
        self._watch(m, execution, prediction, table, retriever, storer)
        return m

    def _jobs(self, m: Module, registers: Any, jobs: Any, predictor: Any, statuses: Any) -> None:
        """Jobs from registers and ring to the predictor, their statuses to the ring of those."""
        settings = registers.settings
        connect(m, flipped(self.s_axil), registers.bus)
        connect(m, jobs.o, predictor.job)
        connect(m, statuses.status, flipped(self.status))
        m.d.comb += [jobs.job[name].eq(settings[f"job_{name}"]) for name in JOB]
        m.d.comb += [
            jobs.start.eq(registers.command.start),
            jobs.ring.eq(settings.ring),
            jobs.ring_log2.eq(settings.ring_log2),
            jobs.tail.eq(settings.ring_tail),
            statuses.statuses.eq(settings.statuses),
            statuses.ring_log2.eq(settings.ring_log2),
            statuses.enable.eq(settings.write_statuses),
        ]

    def _order(
        self, m: Module, predictor: Any, sequencer: Any, statuses: Any, execution: Any
    ) -> None:
        """Predictor, sequencer and execution, from a job to its end."""
        connect(m, predictor.o, sequencer.job)
        connect(m, predictor.feed, execution.score)
        connect(m, sequencer.feed, execution.feed)
        connect(m, sequencer.attend, execution.attend)
        connect(m, sequencer.segment, execution.segment)
        connect(m, sequencer.ended, statuses.ended)
        connect(m, execution.attended, statuses.attended)
        m.d.comb += [
            sequencer.asked.eq(predictor.asked),
            predictor.same.eq(sequencer.same),
            predictor.quiet.eq(sequencer.quiet),
            sequencer.idle.eq(~statuses.busy),
            sequencer.chunks_log2.eq(predictor.chunks_log2),
            execution.chunks_log2.eq(predictor.chunks_log2),
            predictor.scored.eq(execution.scored),
            sequencer.hashed.eq(execution.hashed),
            sequencer.freed.eq(execution.freed),
            execution.bank.eq(sequencer.bank),
            execution.empty.eq(sequencer.empty),
            sequencer.columns.eq(execution.columns),
        ]

    def _steps(self, m: Module, sequencer: Any, table: Any, retriever: Any, storer: Any) -> None:
        """The sequencer and the units of the KVMU, which share the table in turn."""
        storing = sequencer.storing
        connect(m, sequencer.load, table.load)
        connect(m, table.loaded, sequencer.loaded)
        connect(m, sequencer.save, table.store)
        connect(m, table.stored, sequencer.saved)
        connect(m, sequencer.retrieve, retriever.job)
        connect(m, retriever.segment, sequencer.found)
        connect(m, retriever.done, sequencer.retrieved)
        connect(m, sequencer.store, storer.job)
        connect(m, storer.done, sequencer.stored)
        m.d.comb += [
            sequencer.counted.chosen.eq(retriever.chosen),
            sequencer.counted.hits.eq(retriever.hits),
            sequencer.counted.fetched.eq(retriever.fetched_tokens),
            *_share(storing, table.map, retriever.map, storer.map),
            *_share(storing, table.open, sequencer.open, storer.open),
        ]

    def _predict(
        self,
        m: Module,
        predictor: Any,
        sequencer: Any,
        execution: Any,
        prediction: Any,
        retriever: Any,
        storer: Any,
    ) -> None:
        """Hash bits and weights to HCU and WTU, what they find to the KVMU; its means back."""
        connect(m, predictor.select, prediction.select)
        connect(m, sequencer.cluster, prediction.cluster)
        connect(m, sequencer.open_cluster, prediction.open_cluster)
        connect(m, execution.hash, prediction.hash)
        connect(m, execution.weights, prediction.weights)
        connect(m, prediction.stored, storer.hash)
        connect(m, prediction.assign, storer.assign)
        connect(m, prediction.selected, retriever.selected)
        connect(m, storer.mean_job, execution.mean_job)
        connect(m, storer.mean_key, execution.mean_key)
        connect(m, execution.mean, storer.mean)
        connect(m, prediction.show_hash, flipped(self.hash))
        connect(m, prediction.show_weights, flipped(self.weights))
        connect(m, execution.report, flipped(self.report))
        for name in ("m_axis_assign", "m_axis_row", "m_axis_selected"):
            connect(m, getattr(prediction, name), flipped(getattr(self, name)))

    def _memory(self, m: Module, readers: list[Any], writers: list[Any]) -> None:
        """All that reads and writes device memory, the first before the others."""
        m.submodules.read_port = reads = ReadPort(self._config, len(readers))
        m.submodules.write_port = writes = WritePort(self._config, len(writers))
        for client, reader in zip(reads.client, readers, strict=True):
            connect(m, reader, client)
        for client, writer in zip(writes.client, writers, strict=True):
            connect(m, writer, client)
        bus = flipped(self.m_axi)
        m.d.comb += [*axi.pass_on(reads.m_axi, bus), *axi.pass_on(writes.m_axi, bus)]

    def _link(self, m: Module, settings: Any, sequencer: Any, retriever: Any, storer: Any) -> Any:
        """Fetches of the retriever and offloads of the storer, which come in turn."""
        m.submodules.link_port = link = LinkPort(self._config)
        connect(m, link.link, flipped(self.link))
        storing, to_host = sequencer.storing, link.transfer
        m.d.comb += [link.limit.eq(settings.link_limit), link.epoch.eq(settings.link_epoch)]
        for active, unit in ((~storing, retriever.transfer), (storing, storer.transfer)):
            m.d.comb += [
                unit.request.ready.eq(active & to_host.request.ready),
                unit.line.eq(to_host.line),
                unit.result.fault.eq(to_host.result.fault),
                unit.result.valid.eq(active & to_host.result.valid),
            ]
            with m.If(active):
                m.d.comb += to_host.request.valid.eq(unit.request.valid)
                m.d.comb += to_host.request.p.eq(unit.request.p)
        connect(m, storer.transfer.give, to_host.give)
        return link

    def _count(
        self,
        m: Module,
        registers: Any,
        statuses: Any,
        prediction: Any,
        retriever: Any,
        storer: Any,
        link: Any,
    ) -> None:
        """Counters of the units, and those of the core itself."""
        counts = registers.counts
        own = {
            "jobs_failed": statuses.failed,
            "retriever_busy": retriever.busy,
            "storer_busy": storer.busy,
            "memory_beats_in": self.m_axi.rvalid & self.m_axi.rready,
            "memory_beats_out": self.m_axi.wvalid & self.m_axi.wready,
        }
        for name, event in own.items():
            count = Signal(32, name=f"count_{name}")
            m.d.sync += count.eq(count + event)
            m.d.comb += counts[name].eq(count)
        m.d.comb += [counts[n].eq(prediction.counts[n]) for n in prediction.counts.shape().members]
        m.d.comb += [
            counts.jobs.eq(statuses.count),
            counts.clusters_chosen.eq(retriever.chosen),
            counts.clusters_hit.eq(retriever.hits),
            counts.tokens_chosen.eq(retriever.selected_tokens),
            counts.tokens_fetched.eq(retriever.fetched_tokens),
            counts.link_requests.eq(link.requests),
            counts.link_lines_in.eq(link.fetched),
            counts.link_lines_out.eq(link.sent),
            counts.tokens_stored.eq(storer.tokens_stored),
            counts.clusters_sealed.eq(storer.clusters_sealed),
        ]

    def _report(
        self,
        m: Module,
        registers: Any,
        predictor: Any,
        sequencer: Any,
        statuses: Any,
        jobs: Any,
        execution: Any,
        link: Any,
    ) -> None:
        """What the status register and the interrupt tell."""
        events, before = registers.events, Signal.like(execution.nonfinite)
        m.d.sync += before.eq(execution.nonfinite)
        m.d.comb += [
            execution.clear.eq(before),
            events.nonfinite_hash.eq(execution.nonfinite.hash),
            events.nonfinite_score.eq(execution.nonfinite.score),
            events.nonfinite_attend.eq(execution.nonfinite.attend),
            events.nonfinite_mean.eq(execution.nonfinite.mean),
            events.busy.eq(predictor.busy | ~sequencer.quiet | jobs.waits),
            events.full.eq(jobs.full),
            events.dropped.eq(jobs.dropped),
            events.done.eq(statuses.done),
            events.failed.eq(statuses.failed),
            events.ring_failed.eq(statuses.unwritten | (jobs.o.valid & jobs.o.p.broken)),
            events.link_unknown.eq(link.unknown),
            registers.values.jobs_ended.eq(statuses.count),
            registers.values.last_status.eq(Cat(statuses.last.id, statuses.last.fault)),
            self.irq.eq(registers.irq),
        ]

    def _watch(
        self, m: Module, execution: Any, prediction: Any, table: Any, retriever: Any, storer: Any
    ) -> None:
        """Show which unit works in this cycle: has a job, and does not wait for its input."""
        m.submodules.watch = watch = Watch()
        activity = self.activity
        for steps, unit, begins in (
            (watch.retrieves, retriever, retriever.selected),
            (watch.stores, storer, storer.assign),
        ):
            m.d.comb += [
                steps.busy.eq(unit.busy),
                steps.begins.eq(begins.valid),
                steps.begun.eq(begins.valid & begins.ready),
            ]
        m.d.comb += [
            watch.counts.eq(prediction.counts),
            *(activity[n].eq(getattr(watch, n)) for n in ("hcu", "wtu", "retriever", "storer")),
            *(activity[kind].eq(execution.active[kind]) for kind in ("hash", "score", "attend")),
            activity.dpe.eq(execution.working),
            activity.table.eq(table.busy),
            activity.memory_in.eq(self.m_axi.rvalid),
            activity.memory_out.eq(self.m_axi.wvalid & self.m_axi.wready),
            activity.link_in.eq(self.link.receive.valid & self.link.receive.ready),
            activity.link_out.eq(self.link.send.valid & self.link.send.ready),
        ]


def _share(second: Any, port: Any, one: Any, other: Any) -> list[Any]:
    """Return the wires by which two units use ``port`` in turn: ``other`` while ``second``."""
    wires = []
    for name, member in one.signature.members.items():
        mine, first, then = getattr(port, name), getattr(one, name), getattr(other, name)
        if member.flow == Out:
            wires.append(mine.eq(Mux(second, Value.cast(then), Value.cast(first))))
        else:
            wires += [first.eq(mine), then.eq(mine)]
    return wires
