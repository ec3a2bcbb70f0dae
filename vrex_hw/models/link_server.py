"""Serves the requests of the behavioural host link, rightly or wrongly."""

import enum
from typing import Any

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import (
    LINE,
    LINK_COMPLETION,
    LINK_REQUEST,
    REQUEST,
    TAG,
    line_layout,
    receive_layout,
    send_layout,
)
from vrex_hw.lxe.outbox import Outbox

STRAY = 1 << (TAG - 1)
"""What a tag differs by from one that nobody asked for."""
TIME = 32
"""Bits of the model's clock; it wraps, so that half of it is the longest that something waits."""
BUFFER = 4
"""Lines and completions that may wait to be taken."""


class LinkFault(enum.IntEnum):
    """What the model does wrong with one request."""

    NONE = 0
    ERROR = 1
    """Nothing is moved; the completion has its error bit."""
    LOST = 2
    """Nothing comes back; what is to be written is."""
    LATE = 3
    """The answer, of a write its completion alone, comes ``late`` cycles later than it would."""
    SHORT = 4
    """One line less is moved, and the completion says so."""
    LIE = 5
    """One line less comes, and the completion says otherwise; of a write: SHORT."""
    LONG = 6
    """One line more comes, and the completion does not say so; of a write it only says so."""
    DUPLICATE = 7
    """The completion comes twice."""
    UNKNOWN = 8
    """Before the answer come a line and a completion of a tag that nobody asked for."""


ENTRY = data.StructLayout({**LINK_REQUEST.members, "fault": LinkFault})
"""A request, and what is to go wrong with it."""


class LinkServer(wiring.Component):
    """Serves one job after the other: lines between memory and streams, then a completion.

    ``now`` is the time. ``interval``: 1/16 cycles a line, less than 16: a line a cycle. A stream
    does nothing new in a cycle with its bit of ``paused``: receive, send, completion. ``read`` asks
    for the line at ``address``, which is ``data`` a cycle later; ``write`` writes the beat of
    ``send`` there. ``broken`` is high once a packet of ``send`` had another length than its
    request. A read's completion may overtake its last :data:`BUFFER` lines.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        self._line = line_layout(config.lxe.side)
        self._send = send_layout(config.lxe.side)
        self._receive = receive_layout(config.lxe.side)
        super().__init__(
            {
                "job": In(stream.Signature(ENTRY)),
                "now": In(TIME),
                "late": In(TIME),
                "interval": In(16),
                "paused": In(3),
                "read": Out(1),
                "write": Out(1),
                "address": Out(LINE),
                "data": In(self._line),
                "send": In(stream.Signature(self._send)),
                "receive": Out(stream.Signature(self._receive)),
                "completion": Out(stream.Signature(LINK_COMPLETION)),
                "broken": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Walk through each job; one whose answer is late is put aside."""
        m = Module()
        self._entry, self._aside = Signal(ENTRY), Signal(ENTRY)
        self._waits, self._due = Signal(), Signal(TIME)
        self._moved, self._twice = Signal(REQUEST), Signal()
        self._boxes(m)
        entry, left = self._entry, Signal(TIME)
        m.d.comb += [self.address.eq(entry.address + self._moved), left.eq(self._due - self.now)]
        with m.FSM():
            with m.State("WAIT"):
                m.d.sync += [self._moved.eq(0), self._twice.eq(0)]
                with m.If(self._waits & ((left == 0) | left[-1])):
                    m.d.sync += [entry.eq(self._aside), self._waits.eq(0)]
                    m.next = "READ"
                    with m.If(self._aside.write):
                        m.next = "COMPLETE"
                with m.Else():
                    m.d.comb += self.job.ready.eq(1)
                    with m.If(self.job.valid):
                        m.d.sync += entry.eq(self.job.p)
                        m.next = "BEGIN"
            with m.State("BEGIN"):
                self._begin(m)
            with m.State("STRAY"), m.If(self._lines.room & self._completions.room):
                m.d.comb += [self._lines.reserve.eq(1), self._completions.push.eq(1)]
                m.d.sync += entry.fault.eq(LinkFault.NONE)
                m.next = "BEGIN"
            with m.State("READ"), m.If(self._free & self._lines.room & ~self.paused[0]):
                m.d.comb += [self.read.eq(1), self._lines.reserve.eq(1)]
                m.d.sync += self._moved.eq(self._moved + 1)
                with m.If(self._ends):
                    m.next = "COMPLETE"
            with m.State("WRITE"):
                self._write(m)
            with m.State("COMPLETE"):
                self._complete(m)
        return m

    def _is(self, *faults: LinkFault) -> Value:
        """Return 1 if the job is to have one of ``faults``."""
        return Value.cast(self._entry.fault).matches(*(fault.value for fault in faults))

    def _boxes(self, m: Module) -> None:
        """Buffer what comes out; space out what is moved."""
        m.submodules.lines = self._lines = lines = Outbox(self._receive, BUFFER)
        m.submodules.completions = self._completions = done = Outbox(LINK_COMPLETION, BUFFER)
        wiring.connect(m, lines.o, wiring.flipped(self.receive))
        wiring.connect(m, done.o, wiring.flipped(self.completion))
        short = self._is(LinkFault.SHORT, LinkFault.LIE)
        stray = self._is(LinkFault.UNKNOWN)
        entry, want, tag = self._entry, Signal(REQUEST), Signal(TAG)
        self._ends, self._free = Signal(), Signal()
        owed, cost = Signal(17), Signal(16)
        m.d.comb += [
            tag.eq(entry.tag ^ Mux(stray, STRAY, 0)),
            want.eq(entry.lines - short + self._is(LinkFault.LONG)),
            self._ends.eq(stray | (self._moved + 1 == want)),
            done.reserve.eq(done.push),
            done.p.tag.eq(tag),
            done.p.error.eq(self._is(LinkFault.ERROR)),
            done.p.lines.eq(
                Mux(
                    entry.write | self._is(LinkFault.SHORT),
                    want,
                    Mux(done.p.error, 0, entry.lines),
                )
            ),
            lines.p.data.eq(self.data),
            self._free.eq(owed < 16),
            cost.eq(Mux(self.read | (self.send.valid & self.send.ready), self.interval, 0)),
        ]
        m.d.sync += [
            lines.push.eq(lines.reserve),
            lines.p.tag.eq(tag),
            lines.p.last.eq(self._ends),
            owed.eq(Mux(owed + cost > 16, owed + cost - 16, 0)),
        ]

    def _begin(self, m: Module) -> None:
        """Choose the way of a job."""
        entry = self._entry
        nothing = self._is(LinkFault.ERROR, LinkFault.LOST)
        nothing |= self._is(LinkFault.SHORT, LinkFault.LIE) & (entry.lines == 1)
        m.next = "READ"
        with m.If(self._is(LinkFault.UNKNOWN)):
            m.next = "STRAY"
        with m.Elif(entry.write):
            m.next = "WRITE"
        with m.Elif(self._is(LinkFault.LATE)):
            self._put_aside(m)
        with m.Elif(nothing):
            m.next = "COMPLETE"

    def _put_aside(self, m: Module) -> None:
        """Keep the job for later, or lose it if there is one already."""
        m.next = "WAIT"
        with m.If(~self._waits):
            m.d.sync += [
                self._waits.eq(1),
                self._due.eq(self.now + self.late),
                self._aside.eq(self._entry),
                self._aside.fault.eq(LinkFault.NONE),
            ]

    def _write(self, m: Module) -> None:
        """Take a packet; keep its last line from the memory if the write is to be short."""
        last = self.send.p.last
        dropped = self._is(LinkFault.ERROR) | (self._is(LinkFault.SHORT, LinkFault.LIE) & last)
        m.d.comb += self.send.ready.eq(self._free & ~self.paused[1])
        with m.If(self.send.valid & self.send.ready):
            m.d.comb += self.write.eq(~dropped)
            m.d.sync += self._moved.eq(self._moved + 1)
            with m.If(last != (self._moved + 1 == self._entry.lines)):
                m.d.sync += self.broken.eq(1)
            with m.If(last):
                m.next = "COMPLETE"

    def _complete(self, m: Module) -> None:
        """Say what has been done, twice or not at all where that is the fault."""
        with m.If(self._is(LinkFault.LOST)):
            m.next = "WAIT"
        with m.Elif(self._is(LinkFault.LATE)):
            self._put_aside(m)
        with m.Elif(self._completions.room & ~self.paused[2]):
            m.d.comb += self._completions.push.eq(1)
            m.d.sync += self._twice.eq(1)
            with m.If(~self._is(LinkFault.DUPLICATE) | self._twice):
                m.next = "WAIT"
