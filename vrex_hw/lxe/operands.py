"""Gathers what a beat takes into the DPE: its activation row and its accumulators."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import Config
from vrex_hw.dpe import beat_layout
from vrex_hw.lxe.layouts import BF16, COLUMN_BITS, FP32, Kind, Layouts
from vrex_hw.pipeline import delay
from vrex_hw.vpe.softmax import result_layout


class Operands(wiring.Component):
    """Reads the memories for the beat that is ``issued`` and hands all of it to the DPE.

    Activations are the command's (``activation`` and ``limit``: of the row issued, a cycle later)
    or the softmax's results, which ``softmax`` writes into a memory of two tiles. Accumulators
    are what ``accumulate`` has written: one word a row for scores that lack a chunk, and one a
    row and chunk for outputs. ``operands`` and ``result``, valid with ``taken``, come 2 cycles
    after ``issued``; in ``result``, ``visible`` is that of the row. A beat a cycle.

    Source: our decision.
    """

    LATENCY = 2

    def __init__(self, config: Config) -> None:
        """Size the memories by ``config``."""
        self._config = config
        self._layouts = layouts = Layouts(config)
        self._slot_bits = bits_for(config.chunks)
        super().__init__(
            {
                "issued": In(1),
                "beat": In(layouts.beat),
                "activation": In(data.ArrayLayout(BF16, config.lxe.side)),
                "limit": In(COLUMN_BITS),
                "softmax": In(result_layout(config)),
                "accumulate": In(layouts.accumulate),
                "taken": Out(1),
                "operands": Out(beat_layout(config.lxe)),
                "result": Out(layouts.beat),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Read in the first cycle, choose in the second."""
        m = Module()
        attended = self._softmax_memory(m)
        accumulators = self._accumulator_memory(m)
        beat = delay(m, self.beat, 1, "beat")
        valid = delay(m, self.issued, 1, "valid", reset=True)
        visible = self._visible(m, beat)
        width = delay(m, beat.width, 1, "width")
        values = delay(m, beat.values, 1, "values")
        live = delay(m, attended.live, 1, "live")

        m.d.sync += [
            self.taken.eq(valid),
            self.result.eq(beat),
            self.result.visible.eq(Mux(beat.values, beat.width, visible)),
            self.operands.a.eq(Mux(beat.values, attended.p.as_value(), self.activation.as_value())),
        ]
        m.d.comb += self.operands.live.eq(Mux(values, live, prefix(width, self._config.lxe.side)))
        m.d.sync += self.operands.acc.eq(Mux(beat.clear, 0, accumulators.as_value()))
        m.d.comb += self.operands.bank.eq(self._tile_bank(m))
        return m

    def _softmax_memory(self, m: Module) -> Any:
        """Return the softmax's results for the row of the beat before this cycle."""
        fields = self.softmax.shape().members
        word = data.StructLayout({name: fields[name] for name in ("live", "p")})
        depth = 2 * self._config.lxe.rows
        m.submodules.attended = memory = Memory(shape=word, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.softmax.valid),
            write.addr.eq(Cat(self.softmax.bank, self.softmax.row)),
            read.addr.eq(Cat(self.beat.bank, self.beat.row)),
        ]
        m.d.comb += [write.data[name].eq(self.softmax[name]) for name in word.members]
        return read.data

    def _accumulator_memory(self, m: Module) -> Any:
        """Return the accumulators of the beat before this cycle."""
        depth = self._config.lxe.rows << self._slot_bits
        shape = data.ArrayLayout(FP32, self._config.lxe.side)
        m.submodules.accumulators = memory = Memory(shape=shape, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.accumulate.valid),
            write.addr.eq(self._address(self.accumulate)),
            write.data.eq(self.accumulate.sums),
            read.addr.eq(self._address(self.beat)),
        ]
        return read.data

    def _address(self, of: Any) -> Value:
        """Slot 0 is for scores, the others for the chunks of the output."""
        slot = Mux(of.values, of.chunk + 1, 0)
        return Cat(slot[: self._slot_bits], of.row)

    def _visible(self, m: Module, beat: Any) -> Value:
        """A row of ATTEND sees a prefix of the columns; the other kinds see the whole tile."""
        offset = Cat(Const(0, exact_log2(self._config.lxe.side)), beat.tile)
        ahead = Signal(COLUMN_BITS)
        m.d.comb += ahead.eq(self.limit - offset)
        shown = Mux(ahead < beat.visible, ahead, beat.visible)
        seen = Mux(self.limit <= offset, 0, shown)
        return Mux(beat.kind == Kind.ATTEND, seen, beat.visible)

    def _tile_bank(self, m: Module) -> Value:
        """Passes use the tile's two banks in turn: it changes after the last beat of each."""
        bank = Signal()
        ends = delay(m, self.issued & self.beat.ends, 2, "ends", reset=True)
        m.d.sync += bank.eq(bank ^ ends)
        return bank


def prefix(count: Value, width: int) -> Value:
    """Return ``width`` bits of which the lowest ``count`` are 1."""
    return Cat(count > lane for lane in range(width))
