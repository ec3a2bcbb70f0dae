"""The running maximum and minimum of every row of scores."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.lxe.scores.extremes import Extremes, larger
from vrex_hw.lxe.scores.layouts import write_layout
from vrex_hw.vpe import fp32
from vrex_hw.vpe.maximum import from_key

HUGE = 253
"""From this exponent field, 2^126, on a difference of two scores may overflow."""


class Statistics(wiring.Component):
    """Keeps the largest and the smallest finite score of each row of two batches.

    ``write``: as it enters the score path, one a cycle, the same row again in the next cycle as
    well; the memory has it :attr:`latency` cycles later. ``line``: a row of the memory, bank *
    score_rows + row; ``maximum``, ``minimum``: float32, 1 cycle later; NaN where a row has no
    finite score. ``huge``: banks that hold a maximum or minimum so large that a difference may
    overflow, from the same cycle on, until ``forget`` (a bit a bank). Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        self.latency = exact_log2(config.lxe.side) + 3
        super().__init__(
            {
                "write": In(write_layout(config)),
                "line": In(range(2 * config.lxe.score_rows)),
                "maximum": Out(32),
                "minimum": Out(32),
                "huge": Out(2),
                "forget": In(2),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Reduce a word to its extremes, then read, compare and write its row."""
        m = Module()
        rows = self._config.lxe.score_rows
        m.submodules.extremes = extremes = Extremes(self._config.lxe.side)
        m.d.comb += [extremes.scores.eq(self.write.scores), extremes.live.eq(self.write.live)]
        layout = data.StructLayout({"most": 32, "least": 32})
        m.submodules.memory = memory = Memory(shape=layout, depth=2 * rows, init=[])
        store, drain = memory.write_port(), memory.read_port()
        # Transparent: a row may come again while its new extremes are being written.
        old = memory.read_port(transparent_for=(store,))

        arrived = extremes.latency
        valid = Signal(arrived + 1)
        m.d.sync += valid.eq(Cat(self.write.valid, valid))
        place = fp32.delay(m, Cat(self.write.clear, self.write.row, self.write.bank), arrived, "at")
        write = data.StructLayout({"clear": 1, "row": self.write.row.shape(), "bank": 1})(place)
        line = Signal(range(2 * rows))
        m.d.comb += [line.eq(write.row + write.bank * rows), old.addr.eq(line)]

        new, line = fp32.delay(m, Cat(extremes.most, extremes.least), 1, "new"), delayed(m, line)
        new = layout(new)
        clear, bank = delayed(m, write.clear), delayed(m, write.bank)
        kept = layout(Mux(clear, 0, old.data.as_value()))
        m.d.comb += [
            store.addr.eq(line),
            store.en.eq(valid[-1]),
            store.data.most.eq(larger(kept.most, new.most)),
            store.data.least.eq(larger(kept.least, new.least)),
        ]
        self._watch(m, valid[-1], bank, new)
        m.d.comb += [
            drain.addr.eq(self.line),
            self.maximum.eq(from_key(drain.data.most)),
            self.minimum.eq(from_key(~drain.data.least)),
        ]
        return m

    def _watch(self, m: Module, valid: Any, bank: Any, new: Any) -> None:
        """Remember that a bank has seen a huge score."""
        ends = (fp32.FP32(from_key(end)) for end in (new.most, new.least))
        huge = Cat((e.exponent >= HUGE) & (e.exponent != fp32.NOT_FINITE) for e in ends).any()
        for number in range(2):
            with m.If(valid & huge & (bank == number)):
                m.d.sync += self.huge[number].eq(1)
            with m.Elif(self.forget[number]):
                m.d.sync += self.huge[number].eq(0)


def delayed(m: Module, value: Any) -> Any:
    """Return ``value`` a cycle later."""
    return fp32.delay(m, value, 1, "later")
