"""One bank of the row aggregator: a bit for every cluster, a memory for every lane."""

from typing import Any

from amaranth import Cat, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.config import WTUConfig

LUT_WORDS = 32
"""Up to this depth synthesis may build a lane of LUTs; above, the multiplexers cost too much."""


class Bank(wiring.Component):
    """``lanes`` memories of ``words`` bits (our decision).

    Bit w of lane l says whether cluster w * lanes + l is selected. In each cycle each lane may
    set one bit, of its own word (``hits``), or else all lanes clear the word ``clear_word``
    (``clear``; setting in the same cycle is not allowed). With ``read`` the lanes' bits of
    ``read_word`` are in ``bits`` from the next cycle on, until the next read. Reading a word in
    the cycle that writes it is not allowed. The contents after reset are undefined.
    """

    def __init__(self, config: WTUConfig) -> None:
        """Size the bank for the rows of ``config``."""
        self._config = config
        hit = data.StructLayout({"hit": 1, "word": config.word_bits})
        super().__init__(
            {
                "hits": In(data.ArrayLayout(hit, config.lanes)),
                "clear": In(1),
                "clear_word": In(config.word_bits),
                "read": In(1),
                "read_word": In(config.word_bits),
                "bits": Out(config.lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build a memory with one write and one registered read port for each lane."""
        m = Module()
        words = self._config.words
        style = {"ram_style": "block"} if words > LUT_WORDS else {}
        read = []
        for index in range(self._config.lanes):
            lane = Memory(shape=1, depth=words, init=[], attrs=style)
            m.submodules[f"lane{index}"] = lane
            writer, reader = lane.write_port(), lane.read_port()
            m.d.comb += [
                writer.addr.eq(Mux(self.clear, self.clear_word, self.hits[index].word)),
                writer.data.eq(~self.clear),
                writer.en.eq(self.clear | self.hits[index].hit),
                reader.addr.eq(self.read_word),
                reader.en.eq(self.read),
            ]
            read.append(reader.data)
        m.d.comb += self.bits.eq(Cat(read))
        return m
