"""The feeder's and the writer's flow: room for every line, no line before its request."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data

from vrex_formal.feed_proofs import SIZES
from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_constant,
    any_sequence,
    given,
    in_order,
    reach,
    sink,
    source,
    start,
    taken,
)
from vrex_hw.core.feeder.fetcher import Fetcher
from vrex_hw.core.writer import Writer

TAG = data.StructLayout({"mark": 1})


def fetcher() -> Module:
    """Bursts of up to 2 lines and empty ones; memory answers at any time what it was asked."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Fetcher(SIZES, TAG, depth=4)
    i, request, line = unit.i, unit.read.request, unit.read.line
    source(m, i)
    given(m, i.p.lines <= 2)
    given(m, (i.p.lines != 0) | i.p.last)
    sink(m, request, "fetcher's request")
    sink(m, unit.o, "fetcher")
    asked, coming = Signal(4), Signal(4)
    for port in (line.valid, line.data, line.error):
        any_sequence(m, port)
    given(m, ~line.valid | (asked != 0))
    m.d.sync += asked.eq(asked + Mux(taken(request), request.p.lines, 0) - line.valid)
    m.d.sync += coming.eq(coming + Mux(taken(i), i.p.lines, 0) - line.valid)
    put, got = line.data[0][:2], unit.o.p.data[0][:2]
    in_order(m, line.valid, put, taken(unit.o), got, most=4, what="fetcher")
    done, empty = unit.done.valid, taken(i) & (i.p.lines == 0)
    always(m, ~empty | (coming == 0), "fetcher: an empty job waits for what is on the way")
    always(m, ~done | line.valid | empty, "fetcher: a job ends with its last line")
    reach(m, done & unit.done.error & ~line.error, "fetcher: an error is kept to the end")
    return m


def writer() -> Module:
    """Jobs of up to 3 rows: a line follows its request, and all is written when a job is done."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Writer(SIZES)
    port, job = unit.port, unit.job.p
    source(m, unit.job)
    source(m, unit.attention)
    given(m, (job.tokens <= 3) & (job.group <= 1))
    any_constant(m, unit.dimension)
    any_constant(m, unit.chunks_log2)
    sink(m, port.request, "writer's request")
    sink(m, port.line, "writer's line")
    sink(m, unit.done, "writer")
    asked, unwritten = Signal(4), Signal(4)
    for signal in (port.done.valid, port.done.error, port.done.outside):
        any_sequence(m, signal)
    brought = taken(port.line)
    given(m, ~port.done.valid | (unwritten != 0))
    m.d.sync += asked.eq(asked + taken(port.request) - brought)
    m.d.sync += unwritten.eq(unwritten + brought - port.done.valid)
    left, beats = Signal(4), taken(unit.attention)
    with m.If(taken(unit.job)):
        m.d.sync += left.eq(Mux(job.group == 0, 0, job.tokens[:2] << unit.chunks_log2))
    with m.Elif(beats):
        m.d.sync += left.eq(left - 1)
    always(m, ~port.line.valid | (asked != 0), "writer: a line comes when it was asked for")
    always(m, ~beats | (left != 0), "writer: no beat too many")
    ended = (left == 0) & (asked == 0) & (unwritten == 0)
    always(m, ~unit.done.valid | ended, "writer: all is written when it says so")
    reach(m, unit.done.valid & (unit.done.p.fault != 0), "writer: a fault is told")
    return m


PROOFS = [
    Proof(
        name="feed-fetcher",
        claim="every line has room and comes out in order; a job ends with its last line",
        harness=fetcher,
        depth=14,
        effort=20,
    ),
    Proof(
        name="feed-writer",
        claim="a line follows its request; a job is done when all of it is written",
        harness=writer,
        depth=14,
        effort=20,
    ),
]
