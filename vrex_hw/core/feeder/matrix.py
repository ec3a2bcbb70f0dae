"""Where the matrix rows of a command lie, in the order in which the LXE wants them."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import FEED, MATRIX_TAG, fetch_layout, part_layout
from vrex_hw.core.feeder.walker import Walker
from vrex_hw.core.segments import SegmentSignature
from vrex_hw.kvmu.layouts import BURST, LINE, Area
from vrex_hw.kvmu.regions import Regions
from vrex_hw.lxe.layouts import Kind, Layouts
from vrex_hw.lxe.passes import Passes


class Matrix(wiring.Component):
    """Asks for the matrix of each part, pass by pass (:class:`~vrex_hw.lxe.passes.Passes`).

    HASH: hyperplanes lie in the order of the passes. SCORE: a line of token counts before the
    first chunk of each tile (tagged), then the means. ATTEND: pieces of segments
    (:class:`Walker`). The last burst of a job is told; a job that has none has one of 0 lines.

    Latency 2 cycles from a part to its first burst, 5 for ATTEND; a burst a cycle, but for 2
    cycles a pass of ATTEND and up to 8 from part to part. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config, self._regions = config, Regions(config)
        self._place = data.StructLayout(
            {"base": LINE, "offset": LINE, "lines": BURST, "counts": 1, "last": 1}
        )
        super().__init__(
            {
                "part": In(stream.Signature(part_layout(config))),
                "dimension": In(Layouts(config).command["dimension"].shape),
                "planes": In(LINE),
                "segments": Out(SegmentSignature(config)),
                "fetch": Out(stream.Signature(fetch_layout(MATRIX_TAG))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Hold a part; each of its passes becomes places, which become addresses."""
        m = Module()
        m.submodules.passes = passes = Passes(self._config)
        m.submodules.walker = walker = Walker(self._config)
        part, command = self.part, passes.command
        job, last, running, empty = Signal(FEED), Signal(), Signal(), Signal()
        take, free = Signal(), Signal()
        m.d.comb += [
            part.ready.eq(~running & ~empty & ~walker.busy & command.ready),
            take.eq(part.valid & part.ready),
            command.valid.eq(take & (part.p.rows != 0)),
            command.p.kind.eq(part.p.job.kind),
            command.p.rows.eq(part.p.rows),
            command.p.dimension.eq(self.dimension),
            command.p.columns.eq(part.p.job.columns),
            walker.clear.eq(take),
            walker.bank.eq(job.bank),
            walker.kv_stride.eq(job.kv_stride),
        ]
        wiring.connect(m, walker.segments, wiring.flipped(self.segments))

        self._passes(m, passes.step, walker.walk, job, last)
        blocks, counts, block = self._blocks(m, passes.step, job, last, take, free)
        attends, held, place = job.kind == Kind.ATTEND, Signal(), Signal(self._place)
        fetch, piece, step = self.fetch, walker.piece, passes.step
        m.d.comb += [
            free.eq(~held | fetch.ready),
            step.ready.eq(Mux(attends, walker.walk.ready, free & ~counts)),
            piece.ready.eq(free),
            fetch.valid.eq(held),
            fetch.p.address.eq(place.base + place.offset),
            fetch.p.lines.eq(place.lines),
            fetch.p.last.eq(place.last),
            fetch.p.tag.counts.eq(place.counts),
        ]
        with m.If(free):
            m.d.sync += [held.eq(empty | Mux(attends, piece.valid, blocks)), empty.eq(0)]
            m.d.sync += place.eq(Mux(attends, self._piece(m, piece.p, job), block))
            with m.If(empty):
                m.d.sync += [place.lines.eq(0), place.last.eq(1)]
        with m.If(take):
            m.d.sync += [job.eq(part.p.job), last.eq(part.p.last)]
            m.d.sync += [running.eq(command.valid), empty.eq(~command.valid)]
        with m.If(step.valid & step.ready & step.p.tail):
            m.d.sync += running.eq(0)
        return m

    def _passes(self, m: Module, step: Any, walk: Any, job: Any, last: Signal) -> None:
        """Hand a pass of ATTEND to the walker."""
        side = self._config.lxe.side
        chunks = (self.dimension + (side - 1)) >> exact_log2(side)
        m.d.comb += [
            walk.valid.eq(step.valid & (job.kind == Kind.ATTEND)),
            *(walk.p[name].eq(step.p[name]) for name in ("values", "chunk", "height")),
            walk.p.keep.eq(step.p.chunk == chunks - 1),
            walk.p.final.eq(last & step.p.tail),
        ]

    def _piece(self, m: Module, piece: Any, job: Any) -> Any:
        """Return where a piece lies: {slot, values, chunk, token} of its area, or in the frame."""
        regions, put = self._regions, Signal(self._place, name="piece_place")
        token, chunk = piece.token[: regions.token_bits], piece.chunk[: regions.chunk_bits]
        slot = Signal(LINE - regions.slot_bits)
        m.d.comb += [
            slot.eq(piece.slot),
            put.base.eq(job.state),
            put.offset.eq(Cat(token, chunk, piece.values, slot)),
            put.lines.eq(piece.lines),
            put.last.eq(piece.last),
        ]
        with m.Switch(piece.area):
            for area, first in (
                (Area.SINKS, regions.sinks),
                (Area.WINDOW, regions.window),
                (Area.RESIDENT, regions.resident),
            ):
                with m.Case(area):
                    m.d.comb += slot.eq(piece.slot + (first >> regions.slot_bits))
            with m.Case(Area.TRANSIENT):
                m.d.comb += put.base.eq(job.transient)
            with m.Default():
                m.d.comb += put.base.eq(Mux(piece.values, job.v, job.k))
                m.d.comb += put.offset.eq(piece.frame + piece.chunk)
        return put

    def _blocks(
        self, m: Module, step: Any, job: Any, last: Signal, take: Signal, free: Signal
    ) -> tuple[Value, Signal, Any]:
        """Return where a pass of HASH or SCORE lies, if anywhere; first a tile's ``counts``."""
        regions, shift = self._regions, exact_log2(self._config.lxe.side)
        put, planes = Signal(self._place, name="block_place"), Signal(LINE)
        counted, counts, some = Signal(), Signal(), step.p.height != 0
        scores, final = job.kind == Kind.SCORE, last & step.p.tail
        rows = Cat(Const(0, shift), step.p.chunk[: regions.chunk_bits], step.p.tile)
        m.d.comb += [
            counts.eq(scores & some & (step.p.chunk == 0) & ~counted),
            put.base.eq(Mux(scores, job.state, self.planes)),
            put.offset.eq(Mux(scores, rows + regions.means, planes)),
            put.lines.eq(step.p.height),
            put.last.eq(final),
        ]
        with m.If(counts):
            m.d.comb += [
                put.offset.eq(step.p.tile + regions.counts),
                put.lines.eq(1),
                put.counts.eq(1),
                put.last.eq(0),
            ]
        with m.If(take):
            m.d.sync += [planes.eq(0), counted.eq(0)]
        with m.Elif(step.valid & free):
            m.d.sync += counted.eq(counts)
            m.d.sync += planes.eq(planes + Mux(counts, 0, step.p.height))
        return step.valid & (some | final), counts, put
