"""FIFOs and what else a stream passes: what goes in comes out, in order, nothing else."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_sequence,
    at_most,
    constant,
    counter,
    drain,
    given,
    in_order,
    reach,
    source,
    start,
    taken,
    total,
    within,
)
from vrex_hw.config import WTUConfig
from vrex_hw.fork import Fork
from vrex_hw.kvpu.aggregator import Aggregator
from vrex_hw.kvpu.queue import JobQueue
from vrex_hw.registers.kvpu import QUEUE_DEPTH
from vrex_hw.wtu import emitter

BIT = data.StructLayout({"bit": 1})
UNION_SIZES = WTUConfig(lanes=2, entries=4, weight_bits=2, count_bits=1)


def fifo(make: Any, depth: int) -> Module:
    """Put and get at any time. A FIFO moves its data unseen, so one bit of it stands for all."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make(width=1, depth=depth)
    for port in (unit.w_en, unit.w_data, unit.r_en):
        any_sequence(m, port)
    put, get = unit.w_en & unit.w_rdy, unit.r_en & unit.r_rdy
    level = in_order(m, put, unit.w_data, get, unit.r_data, most=depth, what="fifo")
    always(m, unit.w_rdy | (level == depth), "fifo: it takes a beat unless it is full")
    empty_for = Signal(2)
    with m.If((level == 0) | unit.r_rdy):
        m.d.sync += empty_for.eq(0)
    with m.Else():
        m.d.sync += empty_for.eq(empty_for + 1)
    always(m, empty_for < 3, "fifo: a beat is there to be read within 2 cycles")
    reach(m, level == depth, "fifo: full")
    return m


def fork() -> Module:
    """Send beats through a fork whose ways wait on their own, and watch any one of them."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Fork(BIT)
    source(m, unit.i)
    chosen = constant(m, 1, "chosen")
    for way in unit.o:
        any_sequence(m, way.ready)
    got, bit, done = Signal(), Signal(), taken(unit.i)
    for number, way in enumerate(unit.o):
        with m.If(chosen == number):
            m.d.comb += [got.eq(taken(way)), bit.eq(way.payload.as_value())]
    ahead = Signal()
    m.d.sync += ahead.eq(ahead + got - done)
    always(m, ~got | (unit.i.valid & ~ahead), "fork: a way takes a beat only once")
    always(m, ~done | ahead | got, "fork: every way has taken what is done with")
    always(m, ~got | (bit == unit.i.payload.as_value()), "fork: a way gets the beat as it is")
    reach(m, ahead & done, "fork: one way took it before the other")
    return m


def job_queue() -> Module:
    """Start jobs with ever new parameters; the unit behind takes and finishes them at any time."""
    m = Module()
    start(m)
    m.submodules.unit = unit = JobQueue(BIT, BIT, 2)
    for port in (unit.start, unit.entry, unit.done, unit.issue.ready):
        any_sequence(m, port)
    inside = Signal(4)
    issued = taken(unit.issue)
    before = Signal.like(unit.parameters.as_value())
    m.d.sync += [inside.eq(inside + issued - unit.done), before.eq(unit.parameters.as_value())]
    given(m, ~unit.done | (inside != 0))
    out = Cat(unit.issue.payload.as_value(), unit.parameters.as_value())
    put = unit.start & ~unit.dropped
    in_order(m, put, unit.entry, issued, out, most=2, what="job queue")
    changed = before != unit.parameters.as_value()
    always(m, (inside == 0) | ~changed, "job queue: parameters stand still under a job")
    always(m, ~unit.dropped | unit.full, "job queue: it drops a job only when it is full")
    reach(m, changed & issued, "job queue: a job with other parameters")
    return m


def union(*, rows: int, waits: int, cycles: int) -> Module:
    """Unite two rows of any selection."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Aggregator(UNION_SIZES)
    selected, out = unit.selected, unit.union.payload
    clusters = UNION_SIZES.entries
    sent = counter(m, taken(unit.job), 1)
    m.d.comb += [unit.job.valid.eq(sent == 0), unit.job.payload.rows.eq(rows)]
    source(m, selected)
    drain(m, unit.union, waits)
    ended = counter(m, taken(selected) & selected.payload.last, rows)
    given(m, ~selected.valid | (ended != rows))
    at_most(m, ~selected.valid & (ended != rows), UNION_SIZES.words + waits)
    at_most(m, taken(selected) & ~selected.payload.last, rows)

    wanted, seen = Signal(clusters), Signal(clusters)
    error, fresh, before = Signal(), Signal(init=1), Signal(range(clusters))
    hits = Cat(
        lane.hit & (lane.word == word)
        for word in range(UNION_SIZES.words)
        for lane in selected.payload.lanes
    )
    with m.If(taken(selected)):
        m.d.sync += wanted.eq(wanted | hits)
        m.d.sync += error.eq(error | (selected.payload.last & selected.payload.error))
    with m.If(taken(unit.union) & ~out.last):
        m.d.sync += [seen.eq(seen | (1 << out.number[: len(before)])), before.eq(out.number)]
        m.d.sync += fresh.eq(0)
    body, trailer = unit.union.valid & ~out.last, unit.union.valid & out.last
    always(m, ~unit.union.valid | (ended == rows), "union: nothing before the last row")
    always(m, ~body | fresh | (out.number > before), "union: ascending")
    always(m, ~body | (out.number < clusters), "union: numbers of the row")
    always(m, ~trailer | (seen == wanted), "union: exactly what the rows selected")
    always(m, ~trailer | (out.number == total(list(wanted))), "union: the trailer counts")
    always(m, ~trailer | (out.error == error), "union: an error of a row is passed on")
    answered = counter(m, trailer & unit.union.ready, 1)
    within(m, cycles, answered == 1, "union: it comes in time")
    reach(m, trailer & (wanted.all()), "union: every cluster")
    return m


PROOFS = [
    Proof(
        name="emitter-fifo",
        claim="the FIFO in the WTU's emitter: what goes in comes out, in order",
        harness=lambda: fifo(SyncFIFO, emitter.DEPTH),
        depth=17,
        effort=30,
    ),
    Proof(
        name="queue-fifo",
        claim="the FIFO in the job queue: what goes in comes out, in order",
        harness=lambda: fifo(SyncFIFO, QUEUE_DEPTH),
        depth=14,
    ),
    Proof(
        name="waiting-fifo",
        claim="the FIFO of select jobs: what goes in comes out, in order",
        harness=lambda: fifo(SyncFIFOBuffered, QUEUE_DEPTH),
        depth=14,
    ),
    Proof(
        name="fork",
        claim="each way of a fork gets every beat once, in order",
        harness=fork,
        depth=12,
    ),
    Proof(
        name="jobqueue",
        claim="jobs leave in order, each under the parameters it was started with",
        harness=job_queue,
        depth=14,
    ),
    Proof(
        name="aggregator-union",
        claim="the union of 2 rows comes out ascending, each cluster once, counted, in time",
        harness=lambda: union(rows=2, waits=1, cycles=26),
        depth=28,
        effort=20,
    ),
]
