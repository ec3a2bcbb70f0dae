"""The LXE's control: passes in their order, no beat too early, no output lost."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_sequence,
    constant,
    drain,
    given,
    in_order,
    reach,
    start,
    taken,
)
from vrex_hw.config import Config, HCUConfig, LXEConfig, WTUConfig
from vrex_hw.lxe.issuer import Issuer
from vrex_hw.lxe.layouts import Kind
from vrex_hw.lxe.outbox import Outbox
from vrex_hw.lxe.passes import Passes
from vrex_hw.pipeline import delay

SIZES = Config(
    head_dims=(8,),
    hcu=HCUConfig(hyperplanes=4, width=4, joinable=4, open=8),
    wtu=WTUConfig(lanes=2, entries=4),
    lxe=LXEConfig(side=4, rows=4, score_rows=2),
)
WAY = 3
"""Cycles that a beat takes through the pipelines of these harnesses."""
TILES = 3
BIT = data.StructLayout({"bit": 1})


def outbox(depth: int = 3) -> Module:
    """Reserve whenever there is room; the beat comes WAY cycles later; take it at any time."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Outbox(BIT, depth)
    wish = Signal()
    any_sequence(m, wish)
    any_sequence(m, unit.p)
    any_sequence(m, unit.o.ready)
    m.d.comb += [
        unit.reserve.eq(wish & unit.room),
        unit.push.eq(delay(m, unit.reserve, WAY, "way", reset=True)),
    ]
    in_order(m, unit.push, unit.p, taken(unit.o), unit.o.p, most=depth, what="outbox")
    reach(m, ~unit.room & unit.o.valid, "outbox: full")
    return m


def passes() -> Module:
    """One ATTEND of up to TILES tiles and two chunks: keys run one tile ahead of the values."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Passes(SIZES)
    side, command, step = SIZES.lxe.side, unit.command.p, unit.step.p
    columns, dimension = constant(m, 4, "columns"), constant(m, 4, "dimension")
    given(m, columns <= TILES * side)
    given(m, (dimension != 0) & (dimension <= 2 * side))
    sent = Signal()
    m.d.sync += sent.eq(sent | taken(unit.command))
    m.d.comb += [
        unit.command.valid.eq(~sent),
        command.kind.eq(Kind.ATTEND),
        command.rows.eq(1),
        command.dimension.eq(dimension),
        command.columns.eq(columns),
    ]
    drain(m, unit.step, 1)
    tiles = Mux(columns == 0, 1, (columns + side - 1) >> 2)
    chunks = Mux(dimension > side, 2, 1)
    done = taken(unit.step)
    counts = [Signal(4, name=f"{name}_done") for name in ("keys", "values")]
    for values, count in enumerate(counts):
        with m.If(done & (step.values == values)):
            m.d.sync += count.eq(count + 1)
    keys, values = counts
    own = Array(counts)[step.values]
    ahead = Mux(values + chunks < tiles * chunks, values + 2 * chunks, tiles * chunks)
    here = unit.step.valid
    always(m, ~here | (own < tiles * chunks), "passes: no tile too many")
    always(m, ~here | (step.tile * chunks + step.chunk == own), "passes: tiles, chunks ascend")
    begins = here & step.values & (step.chunk == 0)
    always(m, ~begins | (keys == ahead), "passes: values come when the next tile's keys have")
    always(
        m,
        ~here | (step.tail == (step.values & (values == tiles * chunks - 1))),
        "passes: the last one is told",
    )
    last = step.tile == tiles - 1
    always(
        m,
        ~here | (step.height == Mux(last, columns - (step.tile << 2), side)[:4]),
        "passes: the height is that of what is left",
    )
    reach(m, done & step.tail & (tiles == TILES), "passes: all of three tiles")
    return m


def issuer() -> Module:
    """Passes of one command with any kinds of waiting; a beat ends WAY cycles after its issue."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Issuer(SIZES, WAY + 1)
    step, beat, rows = unit.step.p, unit.beat, constant(m, 3, "rows")
    given(m, (rows != 0) & (rows <= SIZES.lxe.rows))
    for port in (unit.step.valid, unit.loaded, unit.room, unit.rows_ready, unit.report_room):
        any_sequence(m, port)
    for field in ("values", "clear", "final"):
        any_sequence(m, step[field])
    held = Cat(step.values, step.clear, step.final, unit.step.valid)
    before, waits = Signal.like(held), Signal()
    m.d.sync += [before.eq(held), waits.eq(unit.step.valid & ~unit.step.ready)]
    given(m, ~waits | (held == before))
    m.d.comb += [step.kind.eq(Kind.ATTEND), step.rows.eq(rows)]

    flights = [Cat(unit.issued, unit.to_softmax, beat.row)]
    for stage in range(WAY):
        flights.append(delay(m, flights[-1], 1, f"flight{stage}", reset=True))
    m.d.comb += [unit.retired.eq(flights[-1][0]), unit.softmax_done.eq(flights[-1][1])]
    same = [flight[2:] == beat.row for flight in flights[1:]]
    busy = Cat(flight[0] & one for flight, one in zip(flights[1:], same, strict=True))
    within = Cat(flight[1] & one for flight, one in zip(flights[1:], same, strict=True))
    always(m, ~(unit.issued & ~step.clear & busy.any()), "issuer: its accumulators are there")
    always(m, ~(unit.to_softmax & within.any()), "issuer: its row has left the softmax")
    always(m, ~unit.issued | (beat.row < rows), "issuer: a row of the command")
    reasons = Cat(unit.no_matrix, unit.no_activation, unit.no_output, unit.no_result)
    one = (reasons != 0) & ((reasons & (reasons - 1)[:4]) == 0)
    stuck = unit.step.valid & ~unit.issued
    always(m, Mux(stuck, one, reasons == 0), "issuer: a wait has one reason")
    reach(m, unit.issued & ~step.clear & (rows == 1), "issuer: a row on its own goes again")
    return m


PROOFS = [
    Proof(
        name="lxe-outbox",
        claim="what is reserved comes out, in order, and the FIFO never overflows",
        harness=outbox,
        depth=16,
    ),
    Proof(
        name="lxe-passes",
        claim="an ATTEND of up to 3 tiles: every tile and chunk once, keys one tile ahead",
        harness=passes,
        depth=24,
    ),
    Proof(
        name="lxe-issuer",
        claim="no beat goes before its row's accumulators and softmax; a wait has a reason",
        harness=issuer,
        depth=16,
    ),
]
