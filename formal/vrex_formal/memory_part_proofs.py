"""The parts of the ports of device memory: their bounds, bursts, beats and answers."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.utils import exact_log2

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
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.memory.answers import Answers
from vrex_hw.memory.chooser import Chooser
from vrex_hw.memory.layouts import CHOSEN, Sizes
from vrex_hw.memory.sender import Sender
from vrex_hw.memory.splitter import Splitter

CONFIG = Config(
    head_dims=(8,),
    hcu=HCUConfig(hyperplanes=4, width=4, joinable=4, open=8),
    wtu=WTUConfig(lanes=2, entries=4),
    lxe=LXEConfig(side=4, rows=4, score_rows=2),
    kvmu=KVMUConfig(bus_bytes=4, address_bits=32),
)
"""Two beats a line of 8 bytes; a burst ends after 128 lines at the latest."""
CLIENTS = 2
COUNT = 4
"""Bits of what is counted: more than there are cycles to count it in."""
Make = Callable[[], wiring.Component]


def splitter(make: Make = lambda: Splitter(CONFIG)) -> Module:
    """Any request, followed through all its bursts."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    source(m, unit.i)
    sink(m, unit.o, "splitter")
    given(m, ~unit.i.valid | ((unit.i.p.lines != 0) & (unit.i.p.lines <= 256)))
    given(m, ~unit.i.valid | unit.i.p.outside | (unit.i.p.address + unit.i.p.lines <= 1 << LINE))
    want, busy = Signal(CHOSEN), Signal()
    with m.If(taken(unit.o)):
        m.d.sync += [
            want.address.eq(want.address + unit.o.p.lines),
            want.lines.eq(want.lines - unit.o.p.lines),
            busy.eq(~unit.o.p.last),
        ]
    with m.If(taken(unit.i)):
        m.d.sync += [want.eq(unit.i.p), busy.eq(1)]
    burst, most = unit.o.p, Sizes(CONFIG).burst_lines
    here, last = unit.o.valid, burst.lines == want.lines
    end = burst.address[: exact_log2(most)] + burst.lines
    always(m, here == busy, "splitter: bursts as long as lines are left, and no longer")
    for claim, test in {
        "where the one before ended": burst.address == want.address,
        "one line at least, no more than are left": (burst.lines != 0)
        & (burst.lines <= want.lines),
        "the last one is told": burst.last == last,
        "not over a boundary, up to it or the end": (end <= most) & (last | (end == most)),
        "of its client, outside or not": (burst.client == want.client)
        & (burst.outside == want.outside),
    }.items():
        always(m, ~here | test, f"splitter: {claim}")
    reach(m, taken(unit.o) & burst.last & (want.lines == 1) & busy, "splitter: a line is left")
    return m


def chooser(make: Make = lambda: Chooser(CONFIG, CLIENTS, bounded=True)) -> Module:
    """Any requests with any bounds: a marked one comes out in its turn, judged right."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    sink(m, unit.o, "chooser")
    marked, mark, want = Signal(), Signal(), Signal(CHOSEN)
    any_sequence(m, mark)
    judged: list[Value] = []
    for k, request in enumerate(unit.request):
        source(m, request)
        base, size = constant(m, LINE, f"base_{k}"), constant(m, LINE, f"size_{k}")
        m.d.comb += [unit.base[k].eq(base), unit.size[k].eq(size)]
        end = request.p.address + request.p.lines
        leaves = (request.p.address < base) | (end > base + size) | (end > Sizes(CONFIG).space)
        judged += [taken(request) & mark]
        with m.If(judged[-1]):
            m.d.sync += [
                marked.eq(1),
                want.client.eq(k),
                want.address.eq(request.p.address),
                want.lines.eq(request.p.lines),
                want.outside.eq(leaves),
            ]
    with m.If(taken(unit.o) & ~Cat(judged).any()):
        m.d.sync += marked.eq(0)
    always(m, ~marked | unit.o.valid, "chooser: a request comes out at once")
    right = Value.cast(unit.o.p) == Value.cast(want)
    always(m, ~marked | right, "chooser: as it was, of its client, outside or not")
    first, second = unit.request
    always(m, ~(first.valid & taken(second)), "chooser: client 0 goes first")
    reach(m, taken(unit.o) & marked & unit.o.p.outside, "chooser: outside")
    reach(m, taken(unit.o) & marked & ~unit.o.p.outside, "chooser: inside")
    return m


def sender(make: Make = lambda: Sender(CONFIG, CLIENTS)) -> Module:
    """Bursts of up to two lines, some outside; room and answers come and go."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    any_sequence(m, unit.i.valid)
    any_sequence(m, unit.i.p.client, 1)
    any_sequence(m, unit.i.p.lines, 2)
    any_sequence(m, unit.i.p.last)
    any_sequence(m, unit.i.p.outside)
    given(m, held(m, unit.i))
    given(m, ~unit.i.valid | (((unit.i.p.lines - 1)[:9]) < 2))
    sink(m, unit.w, "W")
    any_sequence(m, unit.room)
    any_sequence(m, unit.empty)
    burst, client, took = unit.i.p, unit.i.p.client, Signal(2)
    lines = Signal(2)
    for k, line in enumerate(unit.line):
        source(m, line)
        always(m, ~line.ready | (unit.i.valid & (client == k)), "sender: lines in their turn")
    m.d.comb += took.eq(Cat(taken(line) for line in unit.line))
    with m.If(taken(unit.i)):
        m.d.sync += lines.eq(0)
    with m.Elif(took.any()):
        m.d.sync += lines.eq(lines + 1)
    always(m, ~taken(unit.i) | (took.any() & (lines + 1 == burst.lines)), "sender: all its lines")
    always(m, unit.sent == (taken(unit.i) & ~burst.outside), "sender: what is sent is told")
    always(m, ~unit.sent | unit.room.bit_select(client, 1), "sender: answers have room")
    refused = taken(unit.i) & burst.outside & burst.last
    always(m, unit.refused == refused, "sender: a request outside ends refused")
    settled = unit.empty.bit_select(client, 1)
    always(m, ~unit.refused | settled, "sender: it ends when the ones before are answered")
    _beats(m, unit)
    reach(m, unit.refused & (lines == 1), "sender: two lines dropped")
    return m


def _beats(m: Module, unit: Any) -> None:
    """Prove that W carries all lines of the bursts within, in order, and where it says last."""
    put, got, bits = Signal(COUNT), Signal(COUNT), 8 * CONFIG.kvmu.bus_bytes
    which, line, beat = constant(m, COUNT, "which"), Signal.like(unit.line[0].p), Signal(COUNT + 1)
    ends, known = Signal(), Signal()
    for stream in unit.line:
        with m.If(taken(stream) & ~unit.i.p.outside):
            m.d.sync += put.eq(put + 1)
            with m.If(put == which):
                m.d.sync += [line.eq(stream.p), ends.eq(taken(unit.i)), known.eq(1)]
    m.d.sync += beat.eq(beat + taken(unit.w))
    m.d.comb += got.eq(beat >> 1)
    second = beat[0]
    here = unit.w.valid & second & (got == which)
    mask = line.mask.word_select(second, 2)
    always(m, ~here | known, "W: no beat without its line")
    always(m, ~here | (unit.w.p.data == line.data.word_select(second, bits)), "W: its data")
    always(m, ~here | (unit.w.p.strobe == Cat(b.replicate(2) for b in mask)), "W: its strobes")
    always(m, ~unit.w.valid | ~unit.w.p.last | second, "W: whole lines")
    always(m, ~here | (unit.w.p.last == ends), "W: last with the burst's last line")
    reach(m, taken(unit.w) & (got == 2) & second, "W: three lines")


def answers(make: Make = lambda: Answers(CLIENTS)) -> Module:
    """Bursts are sent while there is room, answered in any order of the clients."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    for port in (unit.sent, unit.last, unit.refused, unit.answer):
        any_sequence(m, port)
    any_sequence(m, unit.client, 1)
    mine = unit.room.bit_select(unit.client, 1), unit.empty.bit_select(unit.client, 1)
    given(m, ~unit.sent | mine[0])
    given(m, ~unit.refused | (mine[1] & ~unit.sent))
    for k in range(CLIENTS):
        _client(m, unit, k)
    return m


def _client(m: Module, unit: Any, k: int) -> None:
    """Prove of any burst of client k: done comes with its answer exactly if it is the last."""
    which, sent, came = constant(m, COUNT, f"which_{k}"), Signal(COUNT), Signal(COUNT)
    last, known = Signal(name=f"last_{k}"), Signal(name=f"known_{k}")
    error = Signal(name=f"error_{k}")
    answered, bad = Signal(name=f"answered_{k}"), Signal(name=f"bad_{k}")
    refused, done = Signal(name=f"refused_{k}"), unit.done[k]
    put = unit.sent & (unit.client == k)
    here = unit.answer.valid & (unit.answer.id == k)
    given(m, ~here | (came != sent))
    m.d.sync += [sent.eq(sent + put), came.eq(came + here), answered.eq(here & (came == which))]
    any_answer = Signal(name=f"any_answer_{k}")
    m.d.sync += any_answer.eq(here)
    m.d.sync += [bad.eq(unit.answer.response[1]), refused.eq(unit.refused & (unit.client == k))]
    with m.If(put & (sent == which)):
        m.d.sync += [last.eq(unit.last), known.eq(1)]
    with m.If(done.valid & ~refused):
        m.d.sync += error.eq(0)
    with m.Elif(any_answer & bad):
        m.d.sync += error.eq(1)
    always(m, ~answered | known & (done.valid == last), "answers: done with the last one")
    wrong = error | (any_answer & bad)
    always(m, done.error == (done.valid & ~refused & wrong), "answers: any error of the request")
    always(m, done.outside == refused, "answers: what was refused is told")
    always(m, ~refused | (done.valid & ~done.error), "answers: as outside alone")
    always(m, ~unit.empty[k] | (sent == came), "answers: empty when all are there")
    reach(m, answered & last & (which == 2), f"answers: the third burst of client {k}")
    reach(m, done.error & ~bad, f"answers: an error of an earlier burst of client {k}")
    reach(m, refused, f"answers: refused, client {k}")


PROOFS = [
    Proof(
        name="memory-chooser",
        claim="each request comes out in its turn, and is outside exactly if it leaves its bounds",
        harness=chooser,
        depth=4,
        induct=True,
    ),
    Proof(
        name="memory-splitter",
        claim="any request's bursts: in order, complete, whole lines, never over a page",
        harness=splitter,
        depth=12,
    ),
    Proof(
        name="memory-sender",
        claim="W holds and carries each burst's lines, its last told; refusals wait for answers",
        harness=sender,
        depth=12,
        effort=10,
    ),
    Proof(
        name="memory-answers",
        claim="done with the answer to a request's last burst, errors kept, refusals told",
        harness=answers,
        depth=12,
        effort=10,
    ),
]
