"""The feeder: every burst lies in what its job may read, and is what comes next."""

from collections.abc import Callable
from functools import partial
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import connect

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_constant,
    any_sequence,
    constant,
    drain,
    given,
    held,
    reach,
    sink,
    source,
    start,
    taken,
    total,
)
from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.core.feeder.matrix import Matrix
from vrex_hw.core.feeder.rows import Rows
from vrex_hw.core.feeder.splitter import Splitter
from vrex_hw.core.feeder.walker import Walker
from vrex_hw.kvmu.layouts import SEGMENT, Area
from vrex_hw.kvmu.regions import Regions
from vrex_hw.lxe.layouts import Kind

SIZES = Config(
    head_dims=(16,),
    hcu=HCUConfig(hyperplanes=4, width=4, joinable=4, open=8),
    wtu=WTUConfig(lanes=2, entries=4),
    lxe=LXEConfig(side=8, rows=2, score_rows=1),
    kvmu=KVMUConfig(bus_bytes=8, slot_tokens=4, window_slots=4, resident_slots=2),
)
REGIONS = Regions(SIZES)
SEGMENTS = 4
"""Segments of the longest list looked at, the frame's own included."""
FIELD = 3
"""Bits of a stride and of a number of tokens."""
BASE = 6
"""Bits of the first lines of what is read."""


def segment(m: Module, number: int, tokens: Value, most: int = FIELD) -> Any:
    """Return a segment of the solver's choice in range of its area; the frame's has ``tokens``.

    ``most``: bits of its tokens.
    """
    entry = Signal(SEGMENT, name=f"segment{number}")
    m.d.comb += entry.area.eq(constant(m, 3, f"area{number}"))
    m.d.comb += entry.slot.eq(constant(m, 3, f"slot{number}"))
    frame = entry.area == Area.FRAME
    m.d.comb += entry.count.eq(Mux(frame, tokens, constant(m, most, f"count{number}")))
    kvmu = SIZES.kvmu
    slots = {
        Area.SINKS: 1,
        Area.WINDOW: kvmu.window_slots,
        Area.RESIDENT: kvmu.resident_slots,
        Area.TRANSIENT: SIZES.wtu.entries,
    }
    for area, most in slots.items():
        given(m, (entry.area != area) | (entry.slot < most))
    given(m, (entry.area <= Area.FRAME) & (entry.count != 0))
    given(m, frame | (entry.count <= kvmu.slot_tokens))
    return entry


def areas(kind: Kind) -> Module:
    """One part of a job of ``kind``: each burst lies within one thing that the job may read."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Matrix(SIZES)
    part, job, fetch = unit.part, unit.part.p.job, unit.fetch
    sent = Signal()
    m.d.sync += sent.eq(sent | taken(part))
    m.d.comb += [part.valid.eq(~sent), part.p.rows.eq(1), part.p.last.eq(1), job.kind.eq(kind)]
    chunks = constant(m, 1, "two_chunks") + 1
    m.d.comb += unit.dimension.eq(Mux(chunks == 2, 16, 5))
    bases = {}
    for name, port in (
        ("planes", unit.planes),
        ("state", job.state),
        ("transient", job.transient),
        ("k", job.k),
        ("v", job.v),
    ):
        bases[name] = constant(m, BASE, name)
        m.d.comb += port.eq(bases[name])
    stride, tokens = constant(m, FIELD, "stride"), constant(m, FIELD, "tokens")
    m.d.comb += job.kv_stride.eq(stride)
    given(m, (tokens != 0) & (tokens <= 3))
    columns = constant(m, 4, "columns")
    m.d.comb += job.columns.eq(columns)
    any_constant(m, job.bank)
    segments = [segment(m, number, tokens) for number in range(SEGMENTS)]
    if kind == Kind.ATTEND:
        given(m, columns == total([entry.count for entry in segments])[:8])
    elif kind == Kind.SCORE:
        given(m, columns <= SIZES.wtu.entries)
    else:
        given(m, columns <= SIZES.hcu.hyperplanes)
    with m.If(unit.segments.read):
        index = unit.segments.index[:2]
        m.d.sync += unit.segments.data.eq(Array(segments)[index])
    any_sequence(m, fetch.ready)

    first, lines = fetch.p.address, fetch.p.lines
    frame_lines = (tokens - 1) * stride + chunks

    def inside(base: Value, offset: Any, size: Any) -> Value:
        at = Signal(33)
        m.d.comb += at.eq(first - base - offset)
        return (first >= base + offset) & (at + lines <= size)

    slots = REGIONS.state_lines - REGIONS.sinks
    allowed = {
        Kind.HASH: [inside(bases["planes"], 0, SIZES.hcu.hyperplanes * chunks)],
        Kind.SCORE: [
            inside(bases["state"], REGIONS.counts, REGIONS.sinks - REGIONS.counts),
        ],
        Kind.ATTEND: [
            inside(bases["state"], REGIONS.sinks, slots),
            inside(bases["transient"], 0, REGIONS.transient_lines // 2),
            inside(bases["k"], 0, frame_lines),
            inside(bases["v"], 0, frame_lines),
        ],
    }[kind]
    burst = fetch.valid & (lines != 0)
    always(m, ~burst | total(allowed).any(), "feeder: a burst lies in what its job may read")
    always(m, ~fetch.valid | (lines <= SIZES.lxe.side), "feeder: a burst is of a tile at most")
    reach(m, taken(fetch) & fetch.p.last & burst, "feeder: the last burst of a job")
    return m


def walker(make: Callable[[Config], Any] = Walker) -> Module:
    """Any passes, of keys and of values, that do not go past the list: pieces are their tokens."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make(SIZES)
    walk, piece = unit.walk, unit.piece
    tokens, stride = constant(m, 2, "tokens"), constant(m, 2, "stride")
    given(m, tokens != 0)
    segments = [segment(m, number, tokens, most=2) for number in range(3)]
    with m.If(unit.segments.read):
        m.d.sync += unit.segments.data.eq(Array(segments)[unit.segments.index[:2]])
    m.d.comb += unit.kv_stride.eq(stride)
    source(m, walk)
    drain(m, piece, 1)
    always(m, held(m, piece), "walker holds its payload until it is taken")

    # Where in the whole list the pass begins, and how far its pieces have come.
    begins = Array(Signal(5, name=f"begin{sort}") for sort in range(2))
    at, end, keep, sort = Signal(5), Signal(5), Signal(), Signal()
    whole = Signal(5)
    m.d.comb += whole.eq(total([entry.count for entry in segments]))
    given(m, ~walk.valid | (walk.p.height != 0))
    given(m, ~walk.valid | (walk.p.height <= SIZES.lxe.side))
    given(m, ~walk.valid | (begins[walk.p.values] + walk.p.height <= whole))
    cut = taken(piece)
    with m.If(cut):
        m.d.sync += at.eq(at + piece.p.lines)
        with m.If(keep & (at + piece.p.lines == end)):
            m.d.sync += begins[sort].eq(end)
    with m.If(taken(walk)):
        begin = Mux(keep & cut & (sort == walk.p.values), end, begins[walk.p.values])
        m.d.sync += [at.eq(begin), end.eq(begin + walk.p.height)]
        m.d.sync += [keep.eq(walk.p.keep), sort.eq(walk.p.values)]
    given(m, ~taken(walk) | ~piece.valid)
    owners = []
    for number, entry in enumerate(segments):
        before = total([e.count for e in segments[:number]])
        owners.append(
            (piece.p.area == entry.area)
            & (piece.p.slot == entry.slot)
            & (piece.p.token + piece.p.lines <= entry.count)
            & (before + piece.p.token == at)
        )
    frame = piece.p.area == Area.FRAME
    here = piece.valid
    always(m, ~here | Value.cast(total(owners)).any(), "walker: the tokens that come next")
    always(m, ~here | (at + piece.p.lines <= end), "walker: no token past the pass")
    always(m, ~here | (piece.p.lines != 0), "walker: no piece is empty")
    place = piece.p.token * stride
    always(m, ~(here & frame) | (piece.p.frame == place), "walker: where a token of the frame lies")
    reach(m, here & keep & sort & (begins[1] != 0) & (at == end - 1), "walker: a second tile")
    return m


def rows() -> Module:
    """A job of a few rows, split into commands: each row read is one of the job's."""
    m = Module()
    start(m)
    m.submodules.splitter = splitter = Splitter(SIZES)
    m.submodules.unit = unit = Rows(SIZES)
    connect(m, splitter.part, unit.part)
    job, fetch, sent = splitter.feed.p, unit.fetch, Signal()
    m.d.sync += sent.eq(sent | taken(splitter.feed))
    fields = {"address": 6, "stride": FIELD, "tokens": 2, "group": 2, "skip": 2, "kind": 2}
    values = {name: constant(m, bits, name) for name, bits in fields.items()}
    m.d.comb += [splitter.feed.valid.eq(~sent)]
    m.d.comb += [job[name].eq(value) for name, value in values.items()]
    any_constant(m, unit.chunks_log2)
    hashes = values["kind"] == Kind.HASH
    chunks, group = Const(1) << unit.chunks_log2, Mux(hashes, 1, values["group"])
    skip = Mux(hashes, values["skip"], 0)
    kept = Mux(skip < values["tokens"], (values["tokens"] - skip)[:2], 0)
    sink(m, fetch, "rows")
    first, lines = fetch.p.address, fetch.p.lines
    base, stride = values["address"], values["stride"]
    begin, end = base + skip * stride, base + (values["tokens"] - 1) * stride + group * chunks
    burst, count = fetch.valid & (lines != 0), Signal(4)
    m.d.sync += count.eq(count + (taken(fetch) & (lines != 0)))
    always(m, ~burst | (first >= begin), "rows: none that is skipped, none before the first")
    always(m, ~burst | (first + lines <= end.as_unsigned()), "rows: none behind the last")
    always(m, ~burst | (count < kept * group), "rows: no row too many")
    told = fetch.valid & fetch.p.last
    always(m, ~told | (count + (lines != 0) == kept * group), "rows: the last is told")
    reach(m, told & (kept * group == 4), "rows: two commands")
    return m


PROOFS = [
    *(
        Proof(
            name=f"feed-areas-{kind.name.lower()}",
            claim="each burst of a matrix lies in what its job may read",
            harness=partial(areas, kind),
            depth=depth,
            cover_depth=20,
            effort=effort,
        )
        for kind, depth, effort in ((Kind.HASH, 14, 8), (Kind.SCORE, 18, 10), (Kind.ATTEND, 14, 60))
    ),
    Proof(
        name="feed-walker",
        claim="pieces are the tokens of any passes of keys and values, in segments of the list",
        harness=walker,
        depth=12,
        cover_depth=15,
        effort=40,
    ),
    Proof(
        name="feed-rows",
        claim="each row read is one of the job's, none skipped, none twice past the last",
        harness=rows,
        depth=14,
        effort=20,
    ),
]
