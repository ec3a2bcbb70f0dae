"""The core: LXE, prediction engine and KVMU around a sequencer, with memory, link and registers."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Out, connect, flipped

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.core.feeder import FEED, Feeder
from vrex_hw.core.jobs import Jobs
from vrex_hw.core.ports import CoreSignature
from vrex_hw.core.predictor import Predictor
from vrex_hw.core.segments import Segments
from vrex_hw.core.sequencer import Sequencer
from vrex_hw.core.settings import SETTINGS
from vrex_hw.core.statuses import Statuses
from vrex_hw.core.writer import WRITE, Writer
from vrex_hw.fork import Fork
from vrex_hw.kvmu.layouts import FAULT, Fault
from vrex_hw.kvmu.link_port import LinkPort
from vrex_hw.kvmu.retriever import Retriever
from vrex_hw.kvmu.storer import Storer
from vrex_hw.kvmu.table import Table
from vrex_hw.kvpu.engine import Engine
from vrex_hw.kvpu.layouts import ENTRY_BYTES
from vrex_hw.lxe.layouts import Kind
from vrex_hw.lxe.lxe import LXE
from vrex_hw.memory import ReadPort, WritePort
from vrex_hw.merge import Merge
from vrex_hw.registers import CORE
from vrex_hw.registers.block import RegisterBlock
from vrex_hw.registers.core import JOB

ATTENDS = 4
"""Attentions whose end is waited for: more than there are banks of segments."""


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
        m.submodules.table = table = Table(config)
        m.submodules.segments = segments = Segments(config)
        m.submodules.feeder = feeder = Feeder(config)
        m.submodules.lxe = lxe = LXE(config)
        m.submodules.engine = engine = Engine(config)
        m.submodules.retriever = retriever = Retriever(config)
        m.submodules.storer = storer = Storer(config)
        m.submodules.writer = writer = Writer(config)
        settings = Signal(SETTINGS)
        m.d.comb += [settings[n].eq(registers.settings[n]) for n in SETTINGS.members]
        m.d.comb += [sequencer.settings.eq(settings), predictor.settings.eq(settings)]

        self._jobs(m, registers, settings, jobs, predictor, sequencer, statuses)
        self._steps(m, sequencer, table, segments, retriever, storer)
        self._predict(m, predictor, sequencer, lxe, engine, retriever, storer)
        self._attend(m, settings, predictor, sequencer, segments, feeder, lxe, writer, statuses)
        readers = [jobs.read, predictor.read, table.read, feeder.read_rows, storer.read]
        writers = [statuses.write, table.write, storer.write, writer.port, retriever.write]
        self._memory(m, [*readers, feeder.read_matrix], writers)
        link = self._link(m, settings, sequencer, retriever, storer)
        self._count(m, registers, statuses, engine, retriever, storer, link)
        self._report(m, registers, predictor, sequencer, statuses, jobs, lxe, link)
        self._watch(m, lxe, engine, table, retriever, storer)
        return m

    def _jobs(
        self,
        m: Module,
        registers: Any,
        settings: Any,
        jobs: Any,
        predictor: Any,
        sequencer: Any,
        statuses: Any,
    ) -> None:
        """Jobs from registers and ring to the sequencer, their ends to the statuses."""
        connect(m, flipped(self.s_axil), registers.bus)
        connect(m, jobs.o, predictor.job)
        connect(m, predictor.o, sequencer.job)
        connect(m, sequencer.ended, statuses.ended)
        connect(m, statuses.status, flipped(self.status))
        m.d.comb += [jobs.job[name].eq(registers.settings[f"job_{name}"]) for name in JOB]
        m.d.comb += [
            jobs.start.eq(registers.command.start),
            jobs.ring.eq(settings.ring),
            jobs.ring_log2.eq(settings.ring_log2),
            jobs.tail.eq(settings.ring_tail),
            statuses.statuses.eq(settings.statuses),
            statuses.ring_log2.eq(settings.ring_log2),
            statuses.enable.eq(settings.write_statuses),
            sequencer.idle.eq(~statuses.busy),
            sequencer.asked.eq(predictor.asked),
            sequencer.chunks_log2.eq(predictor.chunks_log2),
            predictor.same.eq(sequencer.same),
            predictor.quiet.eq(sequencer.quiet),
        ]

    def _steps(
        self, m: Module, sequencer: Any, table: Any, segments: Any, retriever: Any, storer: Any
    ) -> None:
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
        connect(m, sequencer.segment, segments.segment)
        m.d.comb += [
            segments.bank.eq(sequencer.bank),
            segments.clear.eq(sequencer.clear),
            sequencer.columns.eq(segments.tokens[sequencer.bank]),
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
        lxe: Any,
        engine: Any,
        retriever: Any,
        storer: Any,
    ) -> None:
        """Hash bits and weights to the engine, what it finds to the KVMU and to who looks on."""
        m.submodules.hash_fork = hashes = Fork(lxe.hash.p.shape(), 3)
        m.submodules.row_fork = rows = Fork(lxe.weights.p.shape())
        m.submodules.assign_fork = assigns = Fork(storer.assign.p.shape())
        m.submodules.selected_fork = unions = Fork(retriever.selected.p.shape())
        connect(m, lxe.hash, hashes.i)
        connect(m, hashes.o[0], flipped(self.hash))
        connect(m, hashes.o[1], storer.hash)
        connect(m, lxe.weights, rows.i)
        connect(m, rows.o[0], flipped(self.weights))
        connect(m, assigns.o[0], storer.assign)
        connect(m, unions.o[0], retriever.selected)
        connect(m, sequencer.cluster, engine.cluster)
        connect(m, predictor.select, engine.select)
        connect(m, engine.m_axis_row, flipped(self.m_axis_row))
        bits, row, entry = engine.s_axis_hash, engine.s_axis_row, sequencer.open_cluster.p.entry
        open_table, assign, selected = (
            engine.s_axis_table,
            engine.m_axis_assign,
            engine.m_axis_selected,
        )
        m.d.comb += [
            *axi.send(hashes.o[2], bits),
            bits.tdata.bits.eq(hashes.o[2].p.bits),
            *axi.send(rows.o[1], row),
            row.tlast.eq(rows.o[1].p.last),
            *axi.send(sequencer.open_cluster, open_table),
            open_table.tdata.hash.bits.eq(entry.hash),
            open_table.tdata.first.eq(entry.first),
            open_table.tdata.count.eq(entry.count),
            *axi.receive(assign, assigns.i),
            assigns.i.p.number.eq(assign.tdata.number),
            assigns.i.p.opened.eq(assign.tdata.opened),
            assigns.i.p.error.eq(assign.tdata.error),
            assigns.i.p.last.eq(assign.tlast),
            *axi.receive(selected, unions.i),
            unions.i.p.number.eq(selected.tdata.number),
            unions.i.p.error.eq(selected.tdata.error),
            unions.i.p.last.eq(selected.tlast),
            *axi.send(assigns.o[1], self.m_axis_assign),
            self.m_axis_assign.tdata.eq(assign.tdata),
            self.m_axis_assign.tlast.eq(assign.tlast),
            *axi.send(unions.o[1], self.m_axis_selected),
            self.m_axis_selected.tdata.eq(selected.tdata),
            self.m_axis_selected.tlast.eq(selected.tlast),
        ]
        for lane in range(self._config.wtu.lanes):
            cluster, given = row.tdata.lanes[lane], rows.o[1].p.lanes[lane]
            keep = row.tkeep.word_select(lane, ENTRY_BYTES)
            m.d.comb += [
                cluster.weight.eq(given.weight),
                cluster.count.eq(given.count),
                keep.eq(given.valid.replicate(ENTRY_BYTES)),
            ]
        connect(m, storer.mean_job, lxe.mean_job)
        connect(m, storer.mean_key, lxe.mean_key)
        connect(m, lxe.mean, storer.mean)

    def _attend(
        self,
        m: Module,
        settings: Any,
        predictor: Any,
        sequencer: Any,
        segments: Any,
        feeder: Any,
        lxe: Any,
        writer: Any,
        statuses: Any,
    ) -> None:
        """The LXE between feeder and writer; an attention ends when both have."""
        m.submodules.feeds = feeds = Merge(FEED)
        connect(m, predictor.feed, feeds.i[0])
        connect(m, sequencer.feed, feeds.i[1])
        connect(m, feeds.o, feeder.feed)
        connect(m, feeder.segments, segments.port)
        connect(m, feeder.command, lxe.command)
        connect(m, feeder.activation, lxe.activation)
        connect(m, feeder.matrix, lxe.matrix)
        connect(m, lxe.attention, writer.attention)
        connect(m, lxe.report, flipped(self.report))
        chunks_log2 = predictor.chunks_log2
        m.submodules.writes = writes = SyncFIFO(width=WRITE.size, depth=ATTENDS)
        m.submodules.attended = attended = SyncFIFO(width=FAULT, depth=ATTENDS)
        fed, done = feeder.fed, writer.done
        m.d.comb += [
            feeder.dimension.eq(settings.dimension),
            feeder.chunks_log2.eq(chunks_log2),
            feeder.planes.eq(settings.planes),
            feeder.hyperplanes.eq(settings.n_hyperplanes),
            feeder.scale_score.eq(settings.scale_score),
            feeder.scale_attend.eq(settings.scale_attend),
            feeder.map.eq(settings.score_map),
            feeder.temperature.eq(settings.score_temperature),
            writer.dimension.eq(settings.dimension),
            writer.chunks_log2.eq(chunks_log2),
            writes.w_data.eq(sequencer.attend.p),
            writes.w_en.eq(sequencer.attend.valid),
            sequencer.attend.ready.eq(writes.w_rdy),
            writer.job.valid.eq(writes.r_rdy),
            writer.job.p.eq(writes.r_data),
            writes.r_en.eq(writer.job.ready),
            fed.ready.eq(1),
            predictor.scored.valid.eq(fed.valid & (fed.p.kind == Kind.SCORE)),
            predictor.scored.fault.eq(fed.p.fault),
            sequencer.hashed.valid.eq(fed.valid & (fed.p.kind == Kind.HASH)),
            sequencer.hashed.fault.eq(fed.p.fault),
            attended.w_data.eq(fed.p.fault),
            attended.w_en.eq(fed.valid & (fed.p.kind == Kind.ATTEND)),
            statuses.attended.valid.eq(attended.r_rdy & done.valid),
            statuses.attended.p.fault.eq(
                Mux(attended.r_data != Fault.NONE, attended.r_data, done.p.fault)
            ),
            done.ready.eq(statuses.attended.ready & attended.r_rdy),
            attended.r_en.eq(statuses.attended.ready & done.valid),
            sequencer.freed.eq(statuses.attended.valid & statuses.attended.ready),
        ]

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
        engine: Any,
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
        m.d.comb += [counts[n].eq(engine.counts[n]) for n in engine.counts.shape().members]
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
        lxe: Any,
        link: Any,
    ) -> None:
        """What the status register and the interrupt tell."""
        events, before = registers.events, Signal.like(lxe.nonfinite)
        m.d.sync += before.eq(lxe.nonfinite)
        m.d.comb += [
            lxe.clear.eq(before),
            events.nonfinite_hash.eq(lxe.nonfinite.hash),
            events.nonfinite_score.eq(lxe.nonfinite.score),
            events.nonfinite_attend.eq(lxe.nonfinite.attend),
            events.nonfinite_mean.eq(lxe.nonfinite.mean),
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
        self, m: Module, lxe: Any, engine: Any, table: Any, retriever: Any, storer: Any
    ) -> None:
        """Show which unit works in this cycle: has a job, and does not wait for its input."""
        activity = self.activity
        for unit in ("hcu", "wtu"):
            moves = []
            for name in ("busy", "stalled_in", "stalled_out"):
                count = engine.counts[f"{unit}_{name}"]
                before = Signal.like(count, name=f"{unit}_{name}_before")
                m.d.sync += before.eq(count)
                moves.append(count != before)
            m.d.comb += activity[unit].eq(moves[0] & ~moves[1] & ~moves[2])
        for name, unit, starts in (
            ("retriever", retriever, retriever.selected),
            ("storer", storer, storer.assign),
        ):
            started = Signal(name=f"{name}_started")
            m.d.sync += started.eq(unit.busy & (started | (starts.valid & starts.ready)))
            m.d.comb += activity[name].eq(unit.busy & (started | starts.valid))
        m.d.comb += [
            *(activity[kind].eq(lxe.active[kind]) for kind in ("hash", "score", "attend")),
            activity.dpe.eq(lxe.working),
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
