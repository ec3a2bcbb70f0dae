"""One lane of the WTU: its share of the row, its histogram, its candidates."""

from enum import Enum

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.multiplier import Multiplier
from vrex_hw.wtu.candidates import Candidates
from vrex_hw.wtu.histogram import Histogram
from vrex_hw.wtu.layouts import Layouts


class Source(Enum):
    """Where a pass reads."""

    STREAM = 0
    ROW = 1
    CANDIDATES = 2


class Task(Enum):
    """What a pass is for."""

    FILL = 0
    """Store the row; histogram by octave; keep weights above the floor as candidates."""
    ROUND = 1
    """Histogram the crossing bin by the key's next digit; keep candidates."""
    EMIT = 2
    """Say which clusters are selected."""


class Lane(wiring.Component):
    """Clusters number, number + lanes, ... of the row: entry ``word`` is word * lanes + number.

    An entry that is read in one cycle has its mass in ``mass``, its answer in ``result``, and is
    added to histogram and candidates, :attr:`LATENCY` cycles later.

    Ports
    -----
    input, store : an entry of the row stream, taken in this cycle if ``store``.
    source, task, above, prefix : of the pass; held until its last entry has left the lane.
        ``above``: a round keeps candidates above the crossing bin too, not just those inside.
    index : the word, or the candidate's slot, that is read (or stored) in this cycle.
    present, more : the candidate buffer has that slot, and the slot after it.
    enable : the entry read LATENCY - 1 cycles ago counts.
    look, bin : read the histogram instead of adding; ``content`` follows a cycle later.
    turn : clears the histogram and turns the candidate buffer, before a pass.
    """

    LATENCY = 3

    def __init__(self, layouts: Layouts, number: int) -> None:
        """Take the widths from ``layouts``; ``number`` is the lane's."""
        self._layouts = layouts
        self._number = number
        config = layouts.config
        super().__init__(
            {
                "input": In(layouts.input),
                "store": In(1),
                "source": In(Source),
                "task": In(Task),
                "above": In(1),
                "prefix": In(layouts.prefix),
                "index": In(range(max(config.words, config.candidates))),
                "more": Out(1),
                "enable": In(1),
                "look": In(1),
                "bin": In(range(layouts.bins)),
                "content": Out(layouts.bin_lane),
                "seen": Out(layouts.bins),
                "turn": In(1),
                "overflow": Out(1),
                "mass": Out(layouts.mass_bits),
                "result": Out(layouts.hit),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Read, multiply, classify, add."""
        m = Module()
        shapes, config = self._layouts, self._layouts.config
        m.submodules.candidates = candidates = Candidates(shapes)
        m.submodules.histogram = histogram = Histogram(shapes)
        m.submodules.multiplier = multiplier = Multiplier(config.weight_bits, config.count_bits)
        entry, valid = self._read(m, candidates)

        ranked, ranked_valid = Signal(shapes.entry), Signal()
        m.d.sync += [ranked.eq(entry), ranked_valid.eq(valid)]
        m.d.comb += [multiplier.a.eq(entry.weight), multiplier.b.eq(Mux(valid, entry.count, 0))]

        bin_, inside, selected = self._classify(m, ranked)
        add, put = Signal(), Signal()
        with m.Switch(self.task):
            with m.Case(Task.FILL):
                m.d.comb += [add.eq(1), put.eq(ranked.weight[shapes.floor :].any())]
            with m.Case(Task.ROUND):
                m.d.comb += [add.eq(inside), put.eq(Mux(self.above, selected, inside))]
        kept, counts = Signal(shapes.entry), ranked_valid & self.enable
        m.d.sync += [
            kept.eq(ranked),
            self.result.hit.eq(counts & (self.task == Task.EMIT) & selected),
            histogram.add.eq(counts & add),
            candidates.put.eq(counts & put),
        ]
        target = Signal.like(bin_)
        m.d.sync += target.eq(Mux(self.look, self.bin, bin_))
        m.d.comb += [
            self.result.word.eq(kept.word),
            self.mass.eq(multiplier.product),
            histogram.bin.eq(target),
            histogram.mass.eq(multiplier.product),
            histogram.clear.eq(self.turn),
            self.seen.eq(histogram.seen),
            self.content.eq(histogram.content),
            candidates.word.eq(kept.word),
            candidates.turn.eq(self.turn),
            self.overflow.eq(candidates.overflow),
        ]
        return m

    def _read(self, m: Module, candidates: Candidates) -> tuple[data.View, Signal]:
        """Return the entry that ``source`` and ``index`` named a cycle ago, and its valid bit."""
        shapes, config = self._layouts, self._layouts.config
        m.submodules.row = row = Memory(shape=shapes.input, depth=config.words, init=[])
        write, read = row.write_port(), row.read_port()
        place, word = Signal(config.word_bits), Signal(config.word_bits)
        given, given_valid = Signal(shapes.input), Signal()
        entry, valid = Signal(shapes.entry), Signal()
        m.d.comb += [
            place.eq(Mux(self.source == Source.CANDIDATES, candidates.content, self.index)),
            write.addr.eq(self.index),
            write.data.eq(self.input),
            write.en.eq(self.store),
            read.addr.eq(place),
            read.en.eq(~self.store),
            candidates.slot.eq(self.index),
            self.more.eq(candidates.more),
            entry.weight.eq(read.data.weight),
            entry.count.eq(read.data.count),
            entry.word.eq(word),
            valid.eq(read.data.valid),
        ]
        m.d.sync += [
            word.eq(place),
            given.weight.eq(self.input.weight),
            given.count.eq(self.input.count),
        ]
        with m.If(self.source == Source.STREAM):
            m.d.sync += given_valid.eq(self.input.valid)
            m.d.comb += [
                entry.weight.eq(given.weight),
                entry.count.eq(given.count),
                valid.eq(given_valid),
            ]
        with m.Elif(self.source == Source.CANDIDATES):
            m.d.sync += given_valid.eq(candidates.present)
            m.d.comb += valid.eq(given_valid)
        return entry, valid

    def _classify(self, m: Module, entry: data.View) -> tuple[Signal, Signal, Signal]:
        """Return the entry's bin, whether it is in the crossing bin, and whether at it or above."""
        shapes, config = self._layouts, self._layouts.config
        key = Signal(shapes.key_bits)
        bin_ = Signal(range(shapes.bins))
        inside, selected = Signal(), Signal()
        lane = Const(config.lanes - 1 - self._number, config.lane_bits)
        digits = Cat(Const(0, config.digit_bits), key)
        m.d.comb += [
            key.eq(Cat(lane, ~entry.word, entry.weight)),
            inside.eq(((key ^ self.prefix.bound) & self.prefix.mask) == 0),
            selected.eq(key >= self.prefix.bound),
            bin_.eq(digits.bit_select(self.prefix.position, config.digit_bits)),
        ]
        with m.If(self.task == Task.FILL):
            m.d.comb += bin_.eq(0)
            for octave in range(1, config.weight_bits):
                with m.If(entry.weight[octave]):
                    m.d.comb += bin_.eq(octave)
        return bin_, inside, selected
