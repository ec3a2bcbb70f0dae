"""One lane's candidate buffer: where the few clusters lie that later rounds need to look at."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.wtu.layouts import Layouts


class Candidates(wiring.Component):
    """A buffer that one pass fills and the next one reads, refilling it in place as it goes.

    A pass reads slots 0, 1, 2, ... and puts back some of what it read, in order; what is put back
    never overtakes the reading. It holds words of row memory, where the rest of an entry still is,
    and is read combinationally (LUT RAM).

    Ports
    -----
    turn : a pass begins in the next cycle: what was put in so far can now be read, and putting
        starts again at slot 0.
    put, word : store ``word``; past the last slot it is lost and ``overflow`` is set.
    overflow : something was lost since the last ``turn``.
    slot : which slot to read.
    content : the slot's word, combinational.
    present : the slot was filled by the pass before.
    more : so was the slot after it.
    """

    def __init__(self, layouts: Layouts) -> None:
        """Take depth and widths from ``layouts``."""
        self._layouts = layouts
        depth = layouts.config.candidates
        super().__init__(
            {
                "turn": In(1),
                "put": In(1),
                "word": In(layouts.config.word_bits),
                "overflow": Out(1),
                "slot": In(range(depth)),
                "content": Out(layouts.config.word_bits),
                "present": Out(1),
                "more": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory, how many slots the pass before filled, how many this one has."""
        m = Module()
        config = self._layouts.config
        depth = config.candidates
        m.submodules.memory = memory = Memory(shape=config.word_bits, depth=depth, init=[])
        read = memory.read_port(domain="comb")
        write = memory.write_port()
        filled = Signal(range(depth + 1))
        level = Signal(range(depth + 1))
        fits = Signal()
        m.d.comb += [
            read.addr.eq(self.slot),
            self.content.eq(read.data),
            self.present.eq(self.slot < level),
            self.more.eq(self.slot + 1 < level),
            fits.eq(filled != depth),
            write.addr.eq(filled),
            write.data.eq(self.word),
            write.en.eq(self.put & fits),
        ]
        with m.If(self.turn):
            m.d.sync += [level.eq(filled), filled.eq(0), self.overflow.eq(0)]
        with m.Elif(self.put):
            m.d.sync += [filled.eq(filled + fits), self.overflow.eq(self.overflow | ~fits)]
        return m
