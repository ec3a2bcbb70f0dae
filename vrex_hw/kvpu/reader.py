"""Reads a bank of the row aggregator out: its bits become ascending cluster numbers."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import WTUConfig

UNION = data.StructLayout({"number": 16, "error": 1, "last": 1})
"""One selected cluster; in the trailer how many there are and whether a row had an error."""


class Reader(wiring.Component):
    """Reads a bank out in ascending order and clears it on the way.

    ``start`` names the bits that occur in the numbers of the words hit (``reach``), whether there
    was ``some`` hit, and the error for the trailer; it is taken when the packet before has left.
    Words go through two stages: fetched (in the bank's read register) and open (their bits leave
    one a cycle). A word is cleared when it goes from the one to the other. After reset it sweeps
    every word of both banks without sending anything.
    """

    def __init__(self, config: WTUConfig) -> None:
        """Size it for the rows of ``config``."""
        self._config = config
        start = data.StructLayout({"reach": config.word_bits, "some": 1, "error": 1})
        super().__init__(
            {
                "start": In(stream.Signature(start)),
                "union": Out(stream.Signature(UNION)),
                "sweeping": Out(1, init=1),
                "read": Out(1),
                "read_word": Out(config.word_bits),
                "bits": In(config.lanes),
                "clear": Out(1),
                "clear_word": Out(config.word_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the walk over the words, the bits of the open word and the output register."""
        m = Module()
        config = self._config
        running, final = Signal(init=1), Signal(config.word_bits, init=config.words - 1)
        unread = Signal(init=1)
        fetched, opened = Signal(), Signal(config.word_bits)
        bits, rest = Signal(config.lanes), Signal(config.lanes)
        count, error = Signal(16), Signal()
        free, emit, advance = Signal(), Signal(), Signal()
        out = self.union
        m.d.comb += [
            rest.eq(bits & (bits - 1)),
            free.eq(~out.valid | out.ready),
            emit.eq(bits.any() & free),
            advance.eq(running & ~rest.any() & (emit | ~bits.any())),
            self.read.eq(advance & unread),
            self.clear.eq(advance & fetched),
            self.start.ready.eq(~running),
        ]
        with m.If(out.ready):
            m.d.sync += out.valid.eq(0)
        with m.If(emit):
            m.d.sync += [out.valid.eq(1), out.p.last.eq(0), out.p.error.eq(0)]
            m.d.sync += [out.p.number.eq(Cat(_lane_of(bits & ~rest), opened))]
            m.d.sync += [bits.eq(rest), count.eq(count + 1)]
        with m.If(advance):
            m.d.sync += [fetched.eq(unread), self.clear_word.eq(self.read_word)]
            m.d.sync += [bits.eq(Mux(fetched & ~self.sweeping, self.bits, 0))]
            m.d.sync += [opened.eq(self.clear_word), self.read_word.eq(self.read_word + 1)]
            with m.If(self.read_word == final):
                m.d.sync += unread.eq(0)
        ended = running & ~unread & ~fetched & ~bits.any()
        with m.If(ended & (self.sweeping | free)):
            m.d.sync += [running.eq(0), self.sweeping.eq(0), out.valid.eq(~self.sweeping)]
            m.d.sync += [out.p.last.eq(1), out.p.error.eq(error), out.p.number.eq(count)]
        with m.If(self.start.valid & self.start.ready):
            start = self.start.p
            m.d.sync += [running.eq(1), unread.eq(start.some), self.read_word.eq(0)]
            m.d.sync += [final.eq(_smear(start.reach)), error.eq(start.error), count.eq(0)]
        return m


def _lane_of(one_hot: Any) -> Any:
    """Return the index of the one bit that is set: bit k of it is the or over half the lanes."""
    lanes = range(len(one_hot))
    width = (len(one_hot) - 1).bit_length()
    return Cat(Cat(one_hot[i] for i in lanes if i >> k & 1).any() for k in range(width))


def _smear(value: Any) -> Any:
    """Return ``value`` with every bit below its highest one set as well."""
    return Cat(value[k:].any() for k in range(len(value)))
