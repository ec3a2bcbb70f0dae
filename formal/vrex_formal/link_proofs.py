"""The link port: no line, result or packet too many, and an end of every transfer."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_constant,
    any_sequence,
    given,
    held,
    reach,
    sink,
    start,
    taken,
)
from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.kvmu.layouts import TAG, Fault
from vrex_hw.kvmu.link_port import LinkPort

SIZES = Config(
    head_dims=(8,),
    hcu=HCUConfig(hyperplanes=4, width=4, joinable=4, open=8),
    wtu=WTUConfig(lanes=2, entries=4),
    lxe=LXEConfig(side=4, rows=4, score_rows=2),
    kvmu=KVMUConfig(bus_bytes=4, slot_tokens=4, window_slots=4, resident_slots=2, outstanding=2),
)
MOST_LINES = 2
LIMIT_BITS = 2
UNDER_WAY = data.StructLayout({"write": 1, "lines": 2, "left": 2, "tag": TAG})
"""What the harness knows of a transfer: of its lines, so many are still ``left``."""


def surround(unit: Any, limit_bits: int = LIMIT_BITS) -> Module:
    """Feed the port with any transfers, and let the link do whatever it likes.

    Lines are all zero and addresses too: the port moves them unseen. Tags of answers lie near those
    of the transfers, on either side.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit
    transfer, link = unit.transfer, unit.link
    any_constant(m, unit.limit, limit_bits)
    any_constant(m, unit.epoch, signed(3))
    offer(m, transfer.give)
    offer(m, transfer.request, write=1, lines=2)
    offer(m, link.completion, tag=signed(4), error=1, lines=2)
    offer(m, link.receive, tag=signed(4), last=1)
    sink(m, link.request, "link.request")
    sink(m, link.send, "link.send")
    given(m, (transfer.request.p.lines != 0) & (transfer.request.p.lines <= MOST_LINES))
    return m


def offer(m: Module, stream: Any, **fields: Any) -> None:
    """Offer beats at any time: these fields have any value of their shapes, all others are 0."""
    any_sequence(m, stream.valid)
    for name, shape in fields.items():
        any_sequence(m, getattr(stream.p, name), shape)
    given(m, held(m, stream))


class Books:
    """The transfers under way as the client sees them, ``oldest`` and ``newest``, two at most."""

    def __init__(self, m: Module, unit: Any) -> None:
        """Follow requests, lines and results."""
        request, line, result = unit.transfer.request, unit.transfer.line, unit.transfer.result
        self.count, number, tag = Signal(2), Signal(TAG), Signal(TAG)
        self.oldest, self.newest = Signal(UNDER_WAY), Signal(UNDER_WAY)
        self.begins, self.ends = taken(request), result.valid
        m.d.sync += [self.count.eq(self.count + self.begins - self.ends), tag.eq(self._tag(unit))]
        m.d.sync += number.eq(number + self.begins)
        self.line_tag = tag
        self.for_oldest = (self.count != 0) & ~self.oldest.write & (self.oldest.left != 0)
        self.for_newest = (self.count == 2) & ~self.newest.write & (self.newest.left != 0)
        fresh, older, newer = Signal(UNDER_WAY), Signal(UNDER_WAY), Signal(UNDER_WAY)
        m.d.comb += [
            fresh.write.eq(request.p.write),
            fresh.lines.eq(request.p.lines),
            fresh.left.eq(request.p.lines),
            fresh.tag.eq(number + unit.epoch),
            older.eq(self.oldest),
            older.left.eq(self.oldest.left - (line.valid & self.for_oldest)),
            newer.eq(self.newest),
            newer.left.eq(self.newest.left - (line.valid & ~self.for_oldest)),
        ]
        with m.If(self.ends):
            m.d.sync += self.oldest.eq(Mux(self.count == 2, newer.as_value(), fresh.as_value()))
            m.d.sync += self.newest.eq(fresh)
        with m.Else():
            m.d.sync += self.oldest.eq(Mux(self.count == 0, fresh.as_value(), older.as_value()))
            m.d.sync += self.newest.eq(Mux(self.count == 2, newer.as_value(), fresh.as_value()))

    def _tag(self, unit: Any) -> Value:
        return unit.link.receive.p.tag


def honest(make: Callable[[Config], Any] = LinkPort) -> Module:
    """Whatever the link answers: lines and results belong to transfers, and are no more."""
    unit = make(SIZES)
    m = surround(unit)
    books = Books(m, unit)
    line, result, oldest = unit.transfer.line, unit.transfer.result, books.oldest
    good = result.valid & (result.fault == Fault.NONE)
    always(m, books.count <= 2, "link: no more transfers under way than outstanding")
    always(m, ~books.ends | (books.count != 0), "link: a result is that of a transfer")
    for_one = books.for_oldest | books.for_newest
    always(m, ~line.valid | for_one, "link: a line is that of a read under way")
    tag = Mux(books.for_oldest, oldest.tag, books.newest.tag)
    always(m, ~line.valid | (books.line_tag == tag), "link: a line has its transfer's tag")
    always(
        m,
        ~good | oldest.write | (oldest.left == 0),
        "link: a read without a fault has had all its lines",
    )
    broken = Signal()
    with m.If(result.valid & ~good):
        m.d.sync += broken.eq(books.count != 1)
    with m.Elif(result.valid & broken):
        m.d.sync += broken.eq(books.count != 1)
    always(m, ~(broken & (line.valid | good)), "link: what is under way with a fault has one too")
    always(m, ~(broken & books.begins), "link: nothing begins until a fault has been told")
    reach(m, good & ~oldest.write & (oldest.lines == 2), "link: a read of two lines")
    reach(m, good & oldest.write, "link: a write")
    for fault in (Fault.LINK_ERROR, Fault.LINK_SHORT, Fault.LINK_LATE):
        reach(m, result.valid & (result.fault == fault), f"link: {fault.name}")
    reach(m, broken & result.valid, "link: a second transfer fails with the first")
    return m


def packets(make: Callable[[Config], Any] = LinkPort) -> Module:
    """Every request that writes gets a packet of its length, after it was taken."""
    unit = make(SIZES)
    m = surround(unit)
    request, send = unit.link.request, unit.link.send
    sizes = Array(Signal(2, name=f"size{k}") for k in range(4))
    asked, sent, done = Signal(3), Signal(3), Signal(2)
    asks, sends = taken(request) & request.p.write, taken(send)
    ends = sends & send.p.last
    count = (asked - sent)[:3]
    m.d.sync += [asked.eq(asked + asks), sent.eq(sent + ends)]
    m.d.sync += done.eq(Mux(ends, 0, done + sends))
    with m.If(asks):
        m.d.sync += sizes[asked[:2]].eq(request.p.lines)
    size = sizes[sent[:2]]
    always(m, count <= 3, "link: it owes no more packets than outstanding, and the one it sends")
    always(m, ~send.valid | (count != 0), "link: no packet before its request was taken")
    always(m, ~sends | (send.p.last == (done + 1 == size)), "link: a packet has its lines")
    reach(m, ends & (size == 2) & (count == 2), "link: a packet of two lines, another owed")
    return m


def ends(make: Callable[[Config], Any] = LinkPort, *, cycles: int = 8, waits: int = 20) -> Module:
    """With a limit, and lines to give at hand, every transfer ends, whatever the link does."""
    unit = make(SIZES)
    m = surround(unit, limit_bits=1)
    books = Books(m, unit)
    given(m, unit.limit != 0)
    given(m, unit.transfer.give.valid)
    age, patience = Signal(6), Signal(6)
    idle = (books.count == 0) | books.ends
    request = unit.transfer.request
    m.d.sync += age.eq(Mux(idle, 0, age + 1))
    m.d.sync += patience.eq(Mux(request.valid & ~request.ready, patience + 1, 0))
    always(m, age <= cycles, "link: the oldest transfer ends in time")
    always(m, patience <= waits, "link: a transfer begins in time")
    reach(m, age == 6, "link: a transfer takes its time")
    stuck = Signal()
    any_constant(m, stuck)
    given(m, ~stuck | ~(unit.link.request.ready | unit.link.send.ready))
    reach(m, stuck & books.ends, "link: an end without a link")
    return m


PROOFS = [
    Proof(
        name="link-honest",
        claim="whatever the link answers, a line or result is that of a transfer, none too many",
        harness=honest,
        depth=15,
        effort=60,
    ),
    Proof(
        name="link-packets",
        claim="each request that writes gets a packet of its length, whatever becomes of it",
        harness=packets,
        depth=18,
        effort=60,
    ),
    Proof(
        name="link-ends",
        claim="with a limit every transfer ends in time, whatever the link does or does not",
        harness=ends,
        depth=30,
        effort=60,
    ),
]
