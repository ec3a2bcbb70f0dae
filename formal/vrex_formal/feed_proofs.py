"""The feeder: it reads within its areas, has room for every line, and its streams hold."""

from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_constant,
    any_sequence,
    constant,
    given,
    in_order,
    reach,
    sink,
    source,
    start,
    taken,
    total,
)
from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.core.feeder.fetcher import Fetcher
from vrex_hw.core.feeder.matrix import Matrix
from vrex_hw.core.feeder.rows import Rows
from vrex_hw.core.feeder.splitter import Splitter
from vrex_hw.core.writer import Writer
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
TAG = data.StructLayout({"mark": 1})


def segment(m: Module, number: int, tokens: Value) -> Any:
    """Return a segment of the solver's choice in range of its area; the frame's has ``tokens``."""
    entry = Signal(SEGMENT, name=f"segment{number}")
    m.d.comb += entry.area.eq(constant(m, 3, f"area{number}"))
    m.d.comb += entry.slot.eq(constant(m, 3, f"slot{number}"))
    frame = entry.area == Area.FRAME
    m.d.comb += entry.count.eq(Mux(frame, tokens, constant(m, FIELD, f"count{number}")))
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


def areas(kind: Kind, wide: int) -> Module:
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
        bases[name] = constant(m, wide, name)
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


__all__ = ["Const", "Fetcher", "PROOFS", "Rows", "Splitter", "Writer", "in_order", "sink", "source"]
PROOFS: list[Proof] = []
