"""What is under way on the host link, what became of it, and in which order it ends."""

from typing import Any

from amaranth import Array, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, TAG, Fault

LIMIT = 32
"""Bits of the cycles that a transfer may take."""


def moved_layout(config: Config) -> data.StructLayout:
    """Return the news that all lines of the transfer ``index`` have passed, not ``right`` many."""
    return data.StructLayout({"valid": 1, "index": exact_log2(config.kvmu.outstanding), "wrong": 1})


def completed_layout(config: Config) -> data.StructLayout:
    """Return the news that the link has completed the transfer ``index``, with what outcome."""
    index = exact_log2(config.kvmu.outstanding)
    return data.StructLayout({"valid": 1, "index": index, "error": 1, "wrong": 1})


class LinkLedger(wiring.Component):
    """Numbers the transfers under way and ends them in order.

    ``begin`` (while there is ``room``) makes the transfer ``next`` one that is under way: those
    are the ``count`` numbers from ``oldest`` on, modulo 2^16; the low bits of a number are the
    ``index`` of what is known of it. ``fetched``, ``given`` and ``completed`` bring news.

    The oldest ends without a fault once it is completed and its lines have passed. If it has a
    fault (the link's error; lines that are too few or too many; ``limit`` cycles, 0: any number,
    since it became the oldest) then ``flush`` is high until nothing is under way: each transfer
    ends with that same fault, one a cycle, but those that write only when all their lines have
    been ``given``, and none begins. Latency: news to ``result``, 2 cycles; a transfer that is late
    ends ``limit`` + 4 cycles after it became the oldest.
    """

    def __init__(self, config: Config) -> None:
        """Keep the books of ``kvmu.outstanding`` transfers."""
        self._places = config.kvmu.outstanding
        super().__init__(
            {
                "limit": In(LIMIT),
                "begin": In(data.StructLayout({"valid": 1, "write": 1})),
                "room": Out(1),
                "next": Out(TAG),
                "oldest": Out(TAG),
                "count": Out(range(self._places + 1)),
                "done": Out(self._places),
                "fetched": In(moved_layout(config)),
                "given": In(moved_layout(config)),
                "completed": In(completed_layout(config)),
                "flush": Out(1),
                "result": Out(data.StructLayout({"valid": 1, "fault": FAULT})),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Keep a bit of each kind for every place, and judge the oldest by its own."""
        m = Module()
        write, moved, done, error, wrong = self._flags(m)
        here, good, late, retire = Signal(), Signal(), Signal(), Signal()
        cause = Signal(Fault)
        m.d.comb += [
            self.done.eq(self._done),
            here.eq(self.count != 0),
            good.eq(done & moved & ~error & ~wrong),
            self.room.eq(~self.flush & (self.count != self._places)),
            retire.eq(here & Mux(self.flush, ~write | moved, good)),
            self.next.eq(self.oldest + self.count),
        ]
        m.d.sync += [
            self.result.valid.eq(retire),
            self.result.fault.eq(Mux(self.flush, cause, Fault.NONE)),
            self.oldest.eq(self.oldest + retire),
            self.count.eq(self.count + self.begin.valid - retire),
        ]
        with m.If(self.flush):
            m.d.sync += self.flush.eq(here)
        with m.Elif(here & ~good & (error | wrong | late)):
            reason = Mux(error, Fault.LINK_ERROR, Mux(wrong, Fault.LINK_SHORT, Fault.LINK_LATE))
            m.d.sync += [self.flush.eq(1), cause.eq(reason)]
        self._watch(m, here & ~retire, late)
        return m

    def _flags(self, m: Module) -> list[Value]:
        """Note what is told of each transfer; return the oldest's bits."""
        names = ("write", "moved", "done", "error", "wrong")
        flags = {name: Signal(self._places, name=name) for name in names}
        self._done = flags["done"]
        begin = self._mask(self.begin.valid, self.next[: exact_log2(self._places)])
        fetched = self._mask(self.fetched.valid, self.fetched.index)
        given = self._mask(self.given.valid, self.given.index)
        completed = self._mask(self.completed.valid, self.completed.index)
        told = {
            "write": Mux(self.begin.write, begin, 0),
            "moved": fetched | given,
            "done": completed,
            "error": Mux(self.completed.error, completed, 0),
            "wrong": Mux(self.fetched.wrong, fetched, 0) | Mux(self.completed.wrong, completed, 0),
        }
        m.d.sync += [flags[name].eq((flags[name] & ~begin) | told[name]) for name in names]
        oldest = self.oldest[: exact_log2(self._places)]
        return [Array(flags[name])[oldest] for name in names]

    def _mask(self, valid: Value, index: Value) -> Value:
        return (valid << index)[: self._places]

    def _watch(self, m: Module, waits: Value, late: Signal) -> None:
        """Count the cycles in which the oldest waits; ``late`` when they reach the limit."""
        age = Signal(LIMIT)
        with m.If(waits):
            m.d.sync += [age.eq(age + 1), late.eq((self.limit != 0) & (age >= self.limit))]
        with m.Else():
            m.d.sync += [age.eq(0), late.eq(0)]
