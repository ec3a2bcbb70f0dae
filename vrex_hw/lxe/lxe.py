"""The LXE: commands in, hash bits, weights and attention out."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import connect, flipped

from vrex_hw.config import Config
from vrex_hw.dpe import DPE
from vrex_hw.fork import Fork
from vrex_hw.lxe.activations import Activations
from vrex_hw.lxe.hashing import Hashing
from vrex_hw.lxe.issuer import Issuer
from vrex_hw.lxe.layouts import Kind, Layouts
from vrex_hw.lxe.loader import Loader
from vrex_hw.lxe.operands import Operands
from vrex_hw.lxe.outbox import Outbox
from vrex_hw.lxe.passes import Passes
from vrex_hw.lxe.ports import KINDS, LXESignature
from vrex_hw.lxe.report import REASONS, Report
from vrex_hw.lxe.results import Results
from vrex_hw.lxe.scores import Scores
from vrex_hw.pipeline import delay
from vrex_hw.vpe.bf16 import Round
from vrex_hw.vpe.mean import Mean
from vrex_hw.vpe.multiply import Multiply
from vrex_hw.vpe.softmax import Softmax

QUEUE_DEPTH = 4
"""Commands that wait, beside the one that runs."""
PASSES = 4
"""Passes that wait for their tile or for the DPE."""


class LXE(wiring.Component):
    """Does commands in their order; its ports are told at :class:`LXESignature`.

    - HASH: ``rows`` keys, ``columns`` hyperplanes as matrix; a beat a key on ``hash``.
    - SCORE: ``rows`` queries, ``columns`` representatives as matrix, with their token counts; a
      packet a row on ``weights``, as the WTU takes it. The matrix is sent once for each batch of
      ``score_rows`` rows.
    - ATTEND: ``rows`` queries, each of which sees its first ``limit`` of the ``columns`` tokens;
      keys and values as matrix; ``rows`` times ceil(d / side) beats on ``attention``.

    The order of the matrix's tiles is that of :class:`~vrex_hw.lxe.passes.Passes`; in a tile,
    rows ascend, ``load_rows`` a beat. A command with a size that the configuration lacks (no rows
    or too many, a dimension of 0 or above the largest, more columns than hyperplanes or entries)
    is refused: it takes nothing from the streams and gives a report with ``error``.

    ``report``: a beat a command, when its last beat has gone into the DPE. ``nonfinite``: sticky,
    a NaN has come out of a command of that kind, or of a mean; ``clear`` clears. ``mean_*``:
    :class:`~vrex_hw.vpe.mean.Mean`, which runs beside the commands.

    Throughput: a beat (``side`` times ``side`` multiply-accumulates) a cycle, or a matrix beat a
    cycle, whichever the command has more of; no bubble between passes, nor between commands that
    have rows enough to hide ``latency``. Latency from a beat to its result: ``latency`` cycles.

    Source: the paper's LXE; commands, passes and streams are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every unit by ``config``."""
        self._config = config
        self._layouts = Layouts(config)
        self._dpe, self._softmax = DPE(config.lxe), Softmax(config)
        super().__init__(LXESignature(config))

    @property
    def config(self) -> Config:
        """The sizes it was made for."""
        return self._config

    @property
    def latency(self) -> int:
        """Cycles from the issue of a beat to its sums in the accumulator memory."""
        return Operands.LATENCY + self._dpe.latency + Multiply.LATENCY

    def elaborate(self, platform: Any) -> Module:
        """Chain the units: commands, passes, beats, sums, results."""
        m = Module()
        config = self._config
        m.submodules.passes = passes = Passes(config)
        m.submodules.activations = activations = Activations(config)
        m.submodules.loader = loader = Loader(config)
        m.submodules.report = report = Report(config)
        m.submodules.dpe = dpe = self._dpe
        m.submodules.operands = operands = Operands(config)
        m.submodules.results = results = Results(config)
        m.submodules.softmax = softmax = self._softmax
        m.submodules.scores = scores = Scores(config)
        m.submodules.mean_unit = mean = Mean(config)
        m.submodules.issuer = issuer = Issuer(config, self.latency + softmax.latency + 2)

        self._commands(m, report, passes, activations, issuer.command_freed)
        self._steps(m, passes, loader, issuer)
        connect(m, flipped(self.activation), activations.activation)
        connect(m, flipped(self.matrix), loader.matrix)
        connect(m, report.report, flipped(self.report))
        connect(m, scores.weights, flipped(self.weights))
        connect(m, flipped(self.mean_job), mean.job)
        connect(m, flipped(self.mean_key), mean.key)
        connect(m, mean.mean, flipped(self.mean))

        beat = issuer.beat
        m.d.comb += [
            loader.freed.eq(issuer.tile_freed),
            loader.released.eq(scores.released),
            dpe.load.eq(loader.load),
            scores.counts.eq(loader.counts),
            activations.row.eq(beat.row),
            activations.chunk.eq(beat.chunk),
            activations.freed.eq(issuer.command_freed),
            issuer.rows_ready.eq(activations.ready),
            issuer.loaded.eq(loader.loaded),
            issuer.blocked.eq(loader.blocked),
            issuer.report_room.eq(report.room),
            issuer.retired.eq(results.kept),
            issuer.softmax_done.eq(softmax.inverse.valid),
            operands.issued.eq(issuer.issued),
            operands.beat.eq(beat),
            operands.activation.eq(activations.data),
            operands.limit.eq(activations.limit),
            operands.softmax.eq(softmax.o),
            operands.accumulate.eq(results.accumulate),
            dpe.beat.eq(operands.operands),
            results.sums.eq(dpe.out),
            results.valid.eq(delay(m, operands.taken, dpe.latency - 1, "taken", reset=True)),
            results.beat.eq(delay(m, operands.result, dpe.latency - 1, "result")),
            results.factor.eq(softmax.factor),
            results.inverse.eq(softmax.inverse),
            softmax.i.eq(results.softmax),
            scores.write.eq(results.scores),
            report.active.eq(issuer.step.valid),
            report.kind.eq(issuer.step.p.kind),
            report.issued.eq(issuer.issued),
            report.done.eq(issuer.command_freed),
        ]
        m.d.comb += [
            self.active.as_value().eq(issuer.step.valid << issuer.step.p.kind),
            self.working.eq(issuer.issued | loader.load.valid),
        ]
        m.d.comb += [getattr(report, reason).eq(getattr(issuer, reason)) for reason in REASONS]
        kept, new = self.nonfinite.as_value() & ~self.clear.as_value(), Signal(KINDS)
        m.d.comb += new.eq(Cat(results.nonfinite, mean.nonfinite))
        m.d.sync += self.nonfinite.eq(kept | new.as_value())
        self._softmax_in_time(m, issuer, softmax, dpe)
        self._drain(m, issuer, results, scores)
        self._outputs(m, issuer, results)
        return m

    def _commands(
        self, m: Module, report: Any, passes: Any, activations: Any, ended: Signal
    ) -> None:
        """Queue commands; pass on those that can be done, report the others in their turn."""
        layout = self._layouts.command
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=QUEUE_DEPTH)
        m.submodules.fork = fork = Fork(layout)
        command = layout(queue.r_data)
        good, inside = Signal(), Signal(range(QUEUE_DEPTH + PASSES))
        config = self._config
        most_columns = Mux(
            command.kind == Kind.HASH,
            config.hcu.hyperplanes,
            Mux(command.kind == Kind.SCORE, config.wtu.entries, (1 << len(command.columns)) - 1),
        )
        m.d.comb += [
            queue.w_data.eq(self.command.p),
            queue.w_en.eq(self.command.valid),
            self.command.ready.eq(queue.w_rdy),
            good.eq(
                (command.kind <= Kind.ATTEND)
                & (command.rows != 0)
                & (command.rows <= config.lxe.rows)
                & (command.dimension != 0)
                & (command.dimension <= max(config.head_dims))
                & (command.columns <= most_columns)
            ),
            fork.i.valid.eq(queue.r_rdy & good),
            fork.i.p.eq(command),
            report.refused.eq(queue.r_rdy & ~good & (inside == 0)),
            report.refused_kind.eq(command.kind),
            queue.r_en.eq(Mux(good, fork.i.ready, report.taken)),
        ]
        m.d.sync += inside.eq(inside + (fork.i.valid & fork.i.ready) - ended)
        connect(m, fork.o[0], passes.command)
        connect(m, fork.o[1], activations.command)

    def _steps(self, m: Module, passes: Any, loader: Any, issuer: Any) -> None:
        """Give every pass to the loader and, behind a queue, to the issuer."""
        layout = self._layouts.step
        m.submodules.step_fork = fork = Fork(layout)
        connect(m, passes.step, fork.i)
        for name, way, target in (("load", fork.o[0], loader), ("issue", fork.o[1], issuer)):
            m.submodules[f"{name}_steps"] = fifo = SyncFIFO(width=layout.size, depth=PASSES)
            m.d.comb += [
                fifo.w_data.eq(way.p),
                fifo.w_en.eq(way.valid),
                way.ready.eq(fifo.w_rdy),
                target.step.valid.eq(fifo.r_rdy),
                target.step.p.eq(fifo.r_data),
                fifo.r_en.eq(target.step.ready),
            ]

    def _softmax_in_time(self, m: Module, issuer: Any, softmax: Any, dpe: Any) -> None:
        """Tell the issuer when a row's factor and inverse will be there for its next beat.

        Counted from the issue of a row's scores. They take the way through the DPE that the beat
        will take too, so of that only the multiplication counts; the exponentials must be there
        when the beat is issued.
        """
        write = 2
        factor = Multiply.LATENCY + softmax.factors + write
        exponentials = self.latency + softmax.exponentials + write
        inverse = max(Multiply.LATENCY + softmax.latency + write, exponentials)
        beat = issuer.beat
        factored, inverted = issuer.to_softmax & ~beat.first, issuer.to_softmax & beat.last
        m.d.comb += [
            issuer.factored.eq(delay(m, factored, factor, "factored", reset=True)),
            issuer.inverted.eq(delay(m, inverted, inverse, "inverted", reset=True)),
        ]

    def _drain(self, m: Module, issuer: Any, results: Any, scores: Any) -> None:
        """Tell the scores of each batch when its last score has been written."""
        layout = self._layouts.drain
        m.submodules.batches = batches = SyncFIFO(width=layout.size, depth=2)
        entry, complete = Signal(layout), Signal(2)
        taken = scores.drain.valid & scores.drain.ready
        step = issuer.step.p
        m.d.comb += [entry[name].eq(step[name]) for name in layout.members]
        m.d.comb += [
            batches.w_data.eq(entry),
            batches.w_en.eq(issuer.issued & issuer.beat.closes),
            scores.drain.p.eq(batches.r_data),
            scores.drain.valid.eq(batches.r_rdy & (complete != 0)),
            batches.r_en.eq(taken),
        ]
        m.d.sync += complete.eq(complete + results.scored - taken)

    def _outputs(self, m: Module, issuer: Any, results: Any) -> None:
        """Put hash bits and attention behind outboxes that hold all that can be on the way."""
        m.submodules.hashing = hashing = Hashing(self._config)
        way = self.latency + Round.LATENCY + 4
        m.submodules.hash_box = hashes = Outbox(self._layouts.hash, way)
        m.submodules.attention_box = attention = Outbox(self._layouts.attention, way)
        hashes_now = issuer.beat.kind == Kind.HASH
        leaves = issuer.issued & issuer.beat.final
        m.d.comb += [
            hashing.valid.eq(results.hashed_valid),
            hashing.beat.eq(results.hashed_beat),
            hashing.bits_in.eq(results.hashed),
            hashes.push.eq(hashing.hash_valid),
            hashes.p.bits.eq(hashing.bits),
            attention.push.eq(results.attended_valid),
            attention.p.eq(results.attended),
            hashes.reserve.eq(leaves & hashes_now & issuer.beat.last),
            attention.reserve.eq(leaves & issuer.beat.values),
            issuer.room.eq(Mux(hashes_now, hashes.room, attention.room)),
        ]
        connect(m, hashes.o, flipped(self.hash))
        connect(m, attention.o, flipped(self.attention))
