"""The retriever: nothing is asked for or written outside of its region, whatever the map says."""

from amaranth.hdl import Module, Mux, Signal, Value

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_sequence,
    constant,
    given,
    held,
    reach,
    sink,
    source,
    start,
    taken,
)
from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.kvmu.layouts import LINE, Area
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.allocator import Allocator
from vrex_hw.kvmu.retriever.coalescer import Coalescer
from vrex_hw.kvmu.retriever.lander import Lander

SIZES = Config(
    head_dims=(32,),
    hcu=HCUConfig(hyperplanes=4, width=4, joinable=4, open=8),
    wtu=WTUConfig(lanes=2, entries=4),
    lxe=LXEConfig(side=8, rows=4, score_rows=2),
    kvmu=KVMUConfig(
        bus_bytes=8, slot_tokens=16, window_slots=4, resident_slots=2, request_lines=64
    ),
)
"""Two entries a word, two words, two slots; a cluster has up to 128 lines, a request 64."""
REGIONS = Regions(SIZES)


def _chunks(m: Module, port: Value) -> Value:
    """Hold the logarithm of the chunks at any value that may be."""
    chunks = constant(m, 2, "chunks")
    given(m, chunks <= REGIONS.chunk_bits)
    m.d.comb += port.eq(chunks)
    return chunks


def _count_ok(count: Value) -> Value:
    return (count != 0) & (count <= SIZES.kvmu.slot_tokens)


def coalescer() -> Module:
    """Any clusters of any offset, at any pace; the region's end wherever it fits its numbers."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Coalescer(SIZES)
    host, tokens = constant(m, LINE, "host"), constant(m, LINE, "tokens")
    lines = Signal(LINE + 4)
    m.d.comb += [unit.host.eq(host), unit.host_tokens.eq(tokens)]
    m.d.comb += lines.eq(tokens << 1 << _chunks(m, unit.chunks_log2))
    given(m, lines + host <= 1 << LINE)
    source(m, unit.cluster)
    given(m, ~unit.cluster.valid | _count_ok(unit.cluster.p.count))
    for port in (unit.stop, unit.flush, unit.freed):
        any_sequence(m, port)
    owed = Signal(range(SIZES.kvmu.request_lines + 1))
    m.d.sync += owed.eq(owed + Mux(taken(unit.request), unit.request.p.lines, 0) - unit.freed)
    given(m, ~unit.freed | (owed != 0))
    sink(m, unit.request, "request")
    request, here = unit.request.p, unit.request.valid
    begin = Signal(LINE)
    m.d.comb += begin.eq(request.address - host)
    always(m, ~here | (begin + request.lines <= lines), "coalescer: a request lies in its region")
    always(m, ~here | (request.lines != 0), "coalescer: a request asks for something")
    always(m, ~here | ~request.write, "coalescer: a request never writes")
    most = SIZES.kvmu.request_lines
    always(
        m,
        owed + Mux(here, request.lines, 0) <= most,
        "coalescer: what is under way has room",
    )
    reach(m, here & (begin + request.lines == lines), "coalescer: up to the region's last line")
    reach(m, taken(unit.request) & (owed != 0), "coalescer: two requests under way")
    return m


def lander() -> Module:
    """Clusters of either area, lines, and writes done, in any order that may be."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Lander(SIZES)
    _chunks(m, unit.chunks_log2)
    slots = {0: SIZES.kvmu.resident_slots, 1: SIZES.wtu.entries}
    for port, name in ((unit.resident, "resident"), (unit.transient, "transient")):
        m.d.comb += port.eq(constant(m, LINE - 1, name))
    for port in (unit.stop, unit.landing, unit.line, unit.write.done):
        any_sequence(m, port)
    landing, write = unit.landing.p, unit.write
    given(m, _count_ok(landing.count))
    given(m, landing.slot < Mux(landing.transient, slots[1], slots[0]))
    owed = Signal(8)
    m.d.sync += owed.eq(owed + taken(write.request) - write.done.valid)
    given(m, ~write.done.valid | (owed != 0))
    lines = Signal(8)
    m.d.sync += lines.eq(lines + taken(write.request) - taken(write.line))
    for port, name in ((write.request, "write request"), (write.line, "line")):
        any_sequence(m, port.ready)
        always(m, held(m, port), f"lander: {name} holds until it is taken")
    request, begin = write.request.p, Signal(LINE)
    m.d.comb += begin.eq(request.address - write.base)
    right = (write.base == unit.resident) | (write.base == unit.transient)
    always(m, right, "lander: an area is one of the two")
    inside = (begin < write.size) & (request.lines == 1)
    always(m, ~write.request.valid | inside, "lander: a write lies in its area")
    always(m, ~write.line.valid | (lines != 0), "lander: no line comes before its request")
    area, busy = Signal(LINE), Signal()
    m.d.sync += [area.eq(write.base), busy.eq(write.request.valid | (owed != 0))]
    stays = ~busy | (area == write.base)
    always(m, stays, "lander: the area stays until its writes are done")
    both = Signal(2)
    m.d.sync += both.eq(both | Mux(taken(write.request), 1 << (write.base != unit.resident), 0))
    reach(m, both.all(), "lander: writes to both areas")
    return m


def allocator() -> Module:
    """A map that says anything, another thing at every read."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Allocator(SIZES)
    sealed, room = constant(m, 3, "sealed"), constant(m, 16, "room")
    initial = constant(m, 16, "initial")
    given(m, sealed <= SIZES.wtu.entries)
    m.d.comb += [unit.sealed.eq(sealed), unit.room.eq(room), unit.initial.eq(initial)]
    for port in (unit.start, unit.stop, unit.map.data):
        any_sequence(m, port)
    sink(m, unit.segment, "segment")
    sink(m, unit.cluster, "cluster")
    segment, cluster = unit.segment.p, unit.cluster.p
    for here, transient, slot, count, what in (
        (
            unit.segment.valid,
            segment.area == Area.TRANSIENT,
            segment.slot,
            segment.count,
            "segment",
        ),
        (unit.cluster.valid, cluster.transient, cluster.slot, cluster.count, "cluster"),
    ):
        most = Mux(transient, SIZES.wtu.entries, SIZES.kvmu.resident_slots)
        always(m, ~here | (slot < most), f"allocator: a {what} has a slot that there is")
        always(m, ~here | _count_ok(count), f"allocator: a {what} fits its slot")
    reach(m, unit.cluster.valid & cluster.transient & (cluster.slot == 1), "allocator: transient")
    reach(m, unit.hit & (unit.map.data[0].slot == 1), "allocator: a hit")
    return m


PROOFS = [
    Proof(
        name="retriever-coalescer",
        claim="no request leaves the head's region, none is for more than there is room for",
        harness=coalescer,
        depth=10,
        effort=60,
    ),
    Proof(
        name="retriever-lander",
        claim="no landing write leaves its area; the area stays until its writes are done",
        harness=lander,
        depth=14,
        effort=60,
    ),
    Proof(
        name="retriever-allocator",
        claim="whatever the map says, a cluster's slot is one that there is, and it fits",
        harness=allocator,
        depth=24,
        effort=60,
    ),
]
