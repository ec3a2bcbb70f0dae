"""The list of segments that a frame attends: written while the list before is still walked."""

from typing import Any

from amaranth import Array, Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import SEGMENT
from vrex_hw.lxe.layouts import COLUMN_BITS

BANKS = 2


def index_bits(config: Config) -> int:
    """Return the bits of a segment's place in its list.

    The longest list is the sinks, every sealed and every open cluster, and the frame.
    """
    return ceil_log2(config.wtu.entries + config.kvmu.window_slots + 2)


class SegmentSignature(wiring.Signature):
    """Reads a list; seen from who reads it.

    ``data`` is the segment ``index`` of ``bank`` one cycle after ``read``, until the next read.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lists of ``config``."""
        super().__init__(
            {
                "read": Out(1),
                "bank": Out(1),
                "index": Out(index_bits(config)),
                "data": In(SEGMENT),
            }
        )


class Segments(wiring.Component):
    """Two lists of segments, one in each bank of a block RAM.

    ``clear`` empties the list of ``bank``; ``segment`` appends to it, one a cycle, and has room
    for the longest list there can be. A segment without tokens is taken and not kept.
    ``entries`` and ``tokens``, of each bank, count what has been kept up to the cycle before.
    ``port`` reads any bank at any time, what was written in the cycle before included.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size the lists by ``config``."""
        self._config = config
        self._index_bits = index_bits(config)
        entries = bits_for(1 << self._index_bits)
        super().__init__(
            {
                "bank": In(1),
                "clear": In(1),
                "segment": In(stream.Signature(SEGMENT)),
                "entries": Out(data.ArrayLayout(entries, BANKS)),
                "tokens": Out(data.ArrayLayout(COLUMN_BITS, BANKS)),
                "port": In(SegmentSignature(config)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Append behind what the bank's count says."""
        m = Module()
        depth = BANKS << self._index_bits
        m.submodules.memory = memory = Memory(shape=SEGMENT, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        entries = Array(self.entries[bank] for bank in range(BANKS))
        tokens = Array(self.tokens[bank] for bank in range(BANKS))
        segment = self.segment
        m.d.comb += [
            segment.ready.eq(~entries[self.bank][-1] & ~self.clear),
            write.en.eq(segment.valid & segment.ready & (segment.p.count != 0)),
            write.addr.eq(Cat(entries[self.bank][: self._index_bits], self.bank)),
            write.data.eq(segment.p),
            read.en.eq(self.port.read),
            read.addr.eq(Cat(self.port.index, self.port.bank)),
            self.port.data.eq(read.data),
        ]
        with m.If(self.clear):
            m.d.sync += [entries[self.bank].eq(0), tokens[self.bank].eq(0)]
        with m.Elif(write.en):
            m.d.sync += [
                entries[self.bank].eq(entries[self.bank] + 1),
                tokens[self.bank].eq(tokens[self.bank] + segment.p.count),
            ]
        return m
