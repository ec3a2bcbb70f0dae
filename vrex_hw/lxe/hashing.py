"""Puts a key's hash bits together, where there are more hyperplanes than trees."""

from typing import Any

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Layouts
from vrex_hw.pipeline import delay


class Hashing(wiring.Component):
    """Gives ``bits``, valid with ``hash_valid``, one cycle after the last tile's bits of a row.

    ``bits_in`` are the ``side`` bits of tile ``beat.tile`` for row ``beat.row``, valid with
    ``valid``; those of earlier tiles rest in a memory of a word a row. Tiles come in order.
    """

    LATENCY = 1

    def __init__(self, config: Config) -> None:
        """Size the memory by ``config``."""
        self._config = config
        super().__init__(
            {
                "valid": In(1),
                "beat": In(Layouts(config).beat),
                "bits_in": In(config.lxe.side),
                "hash_valid": Out(1),
                "bits": Out(config.hcu.hyperplanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Write each tile's bits where they belong; join the last ones with what is there."""
        m = Module()
        side, planes = self._config.lxe.side, self._config.hcu.hyperplanes
        parts = -(-planes // side)
        m.submodules.earlier = memory = Memory(
            shape=parts * side, depth=self._config.lxe.rows, init=[]
        )
        write, read = memory.write_port(granularity=side), memory.read_port()
        part = self.beat.tile[: bits_for(parts - 1)]
        m.d.comb += [
            read.addr.eq(self.beat.row),
            write.addr.eq(self.beat.row),
            write.data.eq(self.bits_in.replicate(parts)),
            write.en.eq(Cat(self.valid & (part == index) for index in range(parts))),
        ]
        last = delay(m, self.bits_in, 1, "bits")
        number = delay(m, part, 1, "part")
        m.d.sync += self.hash_valid.eq(self.valid & self.beat.last)
        joined = Signal(parts * side)
        choices = []
        for final in range(parts):
            kept = Cat(read.data[: final * side], last)
            choices.append(kept)
        m.d.comb += [joined.eq(Array(choices)[number]), self.bits.eq(joined)]
        return m
