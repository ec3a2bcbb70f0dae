"""The token counts of the clusters of two batches of scores."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.lxe.scores.layouts import COUNT_BITS, counts_layout


class Counts(wiring.Component):
    """A memory that takes ``load_rows`` counts a cycle and gives those of ``wtu.lanes`` clusters.

    ``write``: as :func:`counts_layout` says. ``read``, ``bank``, ``beat``: counts of clusters
    beat * lanes and on are in ``counts`` from the next cycle to the one after the next ``read``.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        lanes = config.wtu.lanes
        super().__init__(
            {
                "write": In(counts_layout(config)),
                "read": In(1),
                "bank": In(1),
                "beat": In(config.wtu.word_bits),
                "counts": Out(data.ArrayLayout(COUNT_BITS, lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Address words as wide as the wider of the two sides."""
        m = Module()
        lanes, load_rows = self._config.wtu.lanes, self._config.lxe.load_rows
        width = max(lanes, load_rows)
        words = self._config.wtu.entries // width
        shape = data.ArrayLayout(COUNT_BITS, width)
        m.submodules.memory = memory = Memory(shape=shape, depth=2 * words, init=[])
        store, load = memory.write_port(granularity=1), memory.read_port()
        cluster = Cat(self.write.index, self.write.word)
        first, bits = cluster[: exact_log2(width)], exact_log2(words)
        m.d.comb += store.addr.eq(Cat(cluster[exact_log2(width) :][:bits], self.write.bank))
        for lane in range(width):
            index = lane % load_rows
            here = first[exact_log2(load_rows) :] == lane // load_rows
            m.d.comb += [
                store.data[lane].eq(self.write.counts[index]),
                store.en[lane].eq(self.write.valid & self.write.enable[index] & here),
            ]
        part = self.beat[: exact_log2(width // lanes)]
        shown = Signal.like(part)
        m.d.comb += [
            load.addr.eq(Cat(self.beat[len(part) :], self.bank)),
            load.en.eq(self.read),
            self.counts.eq(load.data.as_value().word_select(shown, COUNT_BITS * lanes)),
        ]
        with m.If(self.read):
            m.d.sync += shown.eq(part)
        return m
