"""What the self-test drives streams with and checks them by: words in memory, one a beat."""

from collections.abc import Iterable, Sequence
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import WTUConfig
from vrex_hw.kvpu.layouts import WORD_BITS, selection_layout

TRAILER_BITS = 32
SUM_BITS = 24
HIT = 1 << WORD_BITS
"""What a lane's hit bit counts for in its 16 bits of a selection's beat."""


def beat_layout(tdata: ShapeLike, keep_bits: int = 0) -> data.StructLayout:
    """Return how the self-test's words hold a beat: TDATA lowest, then TKEEP, then TLAST."""
    return data.StructLayout({"tdata": tdata, "tkeep": keep_bits, "tlast": 1})


class Player(wiring.Component):
    """Plays ``words`` of ``width`` bits on ``o``, once, one beat at most every two cycles.

    A beat is offered only in a cycle in which ``go`` is high; once offered it holds.
    """

    def __init__(self, width: int, words: Sequence[int]) -> None:
        """Take the words, lowest bit of each first."""
        self._width = width
        self._words = list(words)
        super().__init__({"go": In(1), "o": Out(stream.Signature(width))})

    def elaborate(self, platform: Any) -> Module:
        """Count through the memory."""
        m = Module()
        init = self._words or [0]
        m.submodules.words = words = memory.Memory(shape=self._width, depth=len(init), init=init)
        read = words.read_port()
        index = Signal(range(len(self._words) + 1))
        fresh = Signal()
        m.d.comb += read.addr.eq(index)
        m.d.sync += fresh.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.Elif(~self.o.valid & fresh & self.go & (index != len(self._words))):
            m.d.sync += [
                self.o.payload.eq(read.data),
                self.o.valid.eq(1),
                index.eq(index + 1),
                fresh.eq(0),
            ]
        return m


MISMATCH = data.StructLayout({"index": 16, "expected": 32, "got": 32})
"""The first word that was wrong: its index, and the low 32 bits of what it should be and was."""


class Checker(wiring.Component):
    """Compares every beat on ``i`` with ``words``; ready for one in at most every two cycles.

    A beat is taken only in a cycle in which ``go`` is high. ``done``: every word has come, and
    was right; ``failed``: some word differed or came after the last one, and ``mismatch`` holds
    the first such; a failed checker takes everything and never is done.
    """

    def __init__(self, width: int, words: Sequence[int]) -> None:
        """Take the words that must come."""
        self._width = width
        self._words = list(words)
        super().__init__(
            {
                "go": In(1),
                "i": In(stream.Signature(width)),
                "done": Out(1),
                "failed": Out(1),
                "mismatch": Out(MISMATCH),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Register a beat with its expected word, compare in the next cycle."""
        m = Module()
        init = [*self._words, 0]
        m.submodules.words = words = memory.Memory(shape=self._width, depth=len(init), init=init)
        read = words.read_port()
        index = Signal(range(len(init)))
        got = Signal(self._width)
        compare = Signal()
        extra = Signal()
        wrong = Signal()
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            read.addr.eq(index),
            self.i.ready.eq(self.go & ~compare),
            wrong.eq(compare & (extra | (got != read.data))),
            self.done.eq((index == len(self._words)) & ~compare & ~self.failed),
        ]
        m.d.sync += [compare.eq(taken), got.eq(self.i.payload)]
        with m.If(taken):
            m.d.sync += extra.eq(index == len(self._words))
        with m.If(compare & ~extra):
            m.d.sync += index.eq(index + 1)
        with m.If(wrong & ~self.failed):
            m.d.sync += [
                self.failed.eq(1),
                self.mismatch.index.eq(index),
                self.mismatch.expected.eq(Mux(extra, 0, read.data)),
                self.mismatch.got.eq(got),
            ]
        return m


class Digest(wiring.Component):
    """Makes one beat of each packet of a row's selection, whose beats may come in any order.

    ``i`` takes TDATA as :func:`vrex_hw.kvpu.layouts.selection_layout` has it, with TLAST above
    it. ``o`` gives, for each packet, the trailer's low 32 bits and above them for each lane the
    sum of 2^15 + word over its hits, modulo 2^24. Takes a beat a cycle except after a trailer,
    where it waits until its own beat has been taken.
    """

    def __init__(self, config: WTUConfig) -> None:
        """Size it for the lanes of ``config``."""
        self._config = config
        self._beat = beat_layout(selection_layout(config))
        super().__init__(
            {
                "i": In(stream.Signature(self._beat)),
                "o": Out(stream.Signature(TRAILER_BITS + SUM_BITS * config.lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Add up each lane's hits until the trailer comes."""
        m = Module()
        beat = self.i.p
        sums = [Signal(SUM_BITS, name=f"sum{n}") for n in range(self._config.lanes)]
        m.d.comb += self.i.ready.eq(~self.o.valid)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            for total, lane in zip(sums, beat.tdata.lanes, strict=True):
                step = lane.as_value() & lane.hit.replicate(HIT.bit_length())
                m.d.sync += total.eq(Mux(beat.tlast, 0, total + step))
            with m.If(beat.tlast):
                m.d.sync += self.o.valid.eq(1)
                m.d.sync += self.o.payload.eq(Cat(beat.tdata.as_value()[:TRAILER_BITS], *sums))
        return m


def digest(trailer: int, clusters: Iterable[int], config: WTUConfig) -> int:
    """Return the word that :class:`Digest` makes of a row that selects ``clusters``."""
    sums = [0] * config.lanes
    for number in clusters:
        sums[number % config.lanes] += HIT + number // config.lanes
    word = trailer
    for lane, total in enumerate(sums):
        word |= (total % (1 << SUM_BITS)) << (TRAILER_BITS + SUM_BITS * lane)
    return word
