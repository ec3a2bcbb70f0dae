"""The lines of a head's table that are in use, one after the other."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.regions import Regions

LINE_OF_TABLE = data.StructLayout({"map": 1, "word": 16, "offset": LINE})
"""A line of the map, or of the open clusters: which word of it, and its place in the state."""


class Walk(wiring.Component):
    """From ``begin`` on gives the map of ``sealed`` clusters, then the open ones up to ``opened``.

    Clusters that are open lie in a ring: their lines are those that hold the numbers from
    ``sealed`` to ``opened`` - 1. ``sealed`` and ``opened`` are held while the walk lasts; it has
    ended when ``line`` is not valid. A line a cycle, the first a cycle after ``begin``; once
    ``sealed`` or ``opened`` has changed it means nothing until the next one.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._regions = Regions(config)
        super().__init__(
            {
                "begin": In(1),
                "sealed": In(16),
                "opened": In(16),
                "line": Out(stream.Signature(LINE_OF_TABLE)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count words of the map, then numbers of open clusters."""
        m = Module()
        regions, line = self._regions, self.line
        map_bits, open_bits = exact_log2(regions.map_lanes), exact_log2(regions.open_lanes)
        word, words, number = Signal(16), Signal(16), Signal(17)
        slot, in_map = (number >> open_bits)[: exact_log2(regions.open_lines)], Signal()
        m.d.comb += [
            in_map.eq(word != words),
            line.valid.eq(in_map | (number < self.opened)),
            line.p.map.eq(in_map),
            line.p.word.eq(Mux(in_map, word, slot)),
            line.p.offset.eq(Mux(in_map, regions.map + word, regions.open + slot)),
        ]
        with m.If(self.begin):
            m.d.sync += [
                word.eq(0),
                words.eq((self.sealed + (1 << map_bits) - 1) >> map_bits),
                number.eq(self.sealed),
            ]
        with m.Elif(line.valid & line.ready):
            with m.If(in_map):
                m.d.sync += word.eq(word + 1)
            with m.Else():
                m.d.sync += number.eq((number >> open_bits) + 1 << open_bits)
        return m
