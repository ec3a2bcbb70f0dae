"""The memories of the table: the map, a line a word, and the open clusters, an entry at a time."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import MAP_ENTRY, OPEN_ENTRY, line_layout
from vrex_hw.kvmu.ports import MapSignature, OpenSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.walk import LINE_OF_TABLE


class Entries(wiring.Component):
    """Map and open clusters, for their users (``map``, ``open``) and, line by line, for the table.

    ``load`` puts a line into its place, always at once. ``save`` names a line, which comes out of
    ``saved`` a cycle later, a line a cycle. While either is in use, the users rest.
    """

    def __init__(self, config: Config) -> None:
        """Size the memories by ``config``."""
        self._config, self._regions = config, Regions(config)
        line = line_layout(config.lxe.side)
        load = data.StructLayout({"line": LINE_OF_TABLE, "data": line})
        super().__init__(
            {
                "map": In(MapSignature(config)),
                "open": In(OpenSignature(config)),
                "load": In(stream.Signature(load, always_ready=True)),
                "save": In(stream.Signature(LINE_OF_TABLE)),
                "saved": Out(stream.Signature(line)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Share each memory's two ports between its user and the table's lines."""
        m = Module()
        of_map, free = Signal(), Signal()
        with m.If(free):
            m.d.sync += [self.saved.valid.eq(self.save.valid), of_map.eq(self.save.p.map)]
        fetch = self.save.valid & free
        map_word = self._map(m, fetch & self.save.p.map)
        open_word = self._open(m, fetch & ~self.save.p.map)
        m.d.comb += [
            free.eq(~self.saved.valid | self.saved.ready),
            self.save.ready.eq(free),
            self.saved.p.as_value().eq(Mux(of_map, map_word, open_word)),
        ]
        return m

    def _map(self, m: Module, fetch: Any) -> Any:
        """Build the map's memory; return the word that was read last."""
        regions, user = self._regions, self.map
        word = data.ArrayLayout(MAP_ENTRY, regions.map_lanes)
        m.submodules.map_memory = memory = Memory(shape=word, depth=regions.map_lines, init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()
        load = self.load.valid & self.load.p.line.map
        m.d.comb += [
            write.en.eq(Mux(load, ~0, user.write)),
            write.addr.eq(Mux(load, self.load.p.line.word, user.write_address)),
            write.data.as_value().eq(
                Mux(load, self.load.p.data.as_value(), user.write_data.as_value())
            ),
            read.en.eq(user.read | fetch),
            read.addr.eq(Mux(user.read, user.address, self.save.p.word)),
            user.data.eq(read.data),
        ]
        return read.data.as_value()

    def _open(self, m: Module, fetch: Any) -> Any:
        """Build the open clusters' memory; return the word that was read last."""
        regions, user = self._regions, self.open
        lanes, bits = regions.open_lanes, exact_log2(regions.open_lanes)
        word = data.ArrayLayout(OPEN_ENTRY, lanes)
        m.submodules.open_memory = memory = Memory(shape=word, depth=regions.open_lines, init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()
        load = self.load.valid & ~self.load.p.line.map
        one = Cat(user.write & (user.write_address[:bits] == lane) for lane in range(lanes))
        lane = Signal(max(1, bits))
        with m.If(user.read):
            m.d.sync += lane.eq(user.address[:bits])
        m.d.comb += [
            write.en.eq(Mux(load, ~0, one)),
            write.addr.eq(Mux(load, self.load.p.line.word, user.write_address >> bits)),
            write.data.as_value().eq(
                Mux(load, self.load.p.data.as_value(), user.write_data.as_value().replicate(lanes))
            ),
            read.en.eq(user.read | fetch),
            read.addr.eq(Mux(user.read, user.address >> bits, self.save.p.word)),
            user.data.eq(read.data[lane] if bits else read.data[0]),
        ]
        return read.data.as_value()
