"""The table between memory and its users: loads, stores, marks, and whatever goes wrong."""

import dataclasses

import pytest
from play import Play, PlayedMemory

from vrex_hw.config import CONFIGS
from vrex_hw.kvmu.layouts import HEADER, MAP_ENTRY, OPEN_ENTRY, Fault
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.table import Table
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
WIDE = dataclasses.replace(
    TINY,
    lxe=dataclasses.replace(TINY.lxe, side=32),
)
"""Eight entries of the map in a line, four of the open clusters."""
CONFIGURATIONS = {"tiny": TINY, "wide": WIDE}
HEADERS = [(0, 0), (0, 3), (5, 5), (5, 12), (33, 97), (62, 66), (63, 100)]
"""(sealed, opened)."""
STATE = 0x4C00


class Bed:
    """A table, its memory, and a host that loads, uses and stores."""

    def __init__(self, config, *, pause=0.0, latency=0, seed=1):
        self.config, self.regions = config, Regions(config)
        self.unit = unit = Table(config)
        self.play = play = Play(unit, pause=pause, seed=seed)
        self.memory = PlayedMemory(play, unit.read, unit.write, latency=latency)
        self.loads, self.stores = [], []
        play.feed(unit.load, _endless(self.loads))
        play.feed(unit.store, _endless(self.stores))
        self.loaded, self.stored = play.drain(unit.loaded), play.drain(unit.stored)

    def header(self, sealed, opened, **others):
        draw = self.play.random.getrandbits
        fields = {"used": draw(16), "tokens": draw(32), "offloaded": draw(32), **others}
        return {"sealed": sealed, "opened": opened, "busy": 0, "padding": 0, **fields}

    def put(self, header, state=STATE):
        """Write a head's header; all else of its table is noise."""
        for line in range(self.regions.counts):
            self.memory.lines[state + line] = self.play.random.getrandbits(self.regions.line_bits)
        self.memory.lines[state] = Packer(HEADER).pack(header)

    def used(self, header):
        """Return the lines of a table that are in use, by their place in the state."""
        regions, sealed, opened = self.regions, header["sealed"], header["opened"]
        words = range(-(-sealed // regions.map_lanes))
        slots = [n % self.config.kvmu.window_slots for n in range(sealed, opened)]
        return {regions.map + w for w in words} | {
            regions.open + s // regions.open_lanes for s in slots
        }

    async def load(self, ctx, state=STATE):
        self.loads.append({"state": state})
        await self.play.until(ctx, lambda: self.loaded)
        assert not self.stored and not self.memory.under_way
        return self.loaded.pop()

    async def store(self, ctx, header, state=STATE):
        self.stores.append({"state": state, "header": header})
        await self.play.until(ctx, lambda: self.stored)
        assert not self.loaded and not self.memory.under_way
        assert not self.memory.others.get(state), "the header comes when all else is there"
        return Fault(self.stored.pop()["fault"])

    async def map_word(self, ctx, word):
        ctx.set(self.unit.map.read, 1)
        ctx.set(self.unit.map.address, word)
        await ctx.tick()
        ctx.set(self.unit.map.read, 0)
        return ctx.get(self.unit.map.data.as_value())

    async def entry(self, ctx, slot):
        ctx.set(self.unit.open.read, 1)
        ctx.set(self.unit.open.address, slot)
        await ctx.tick()
        ctx.set(self.unit.open.read, 0)
        return ctx.get(self.unit.open.data.as_value())

    async def check(self, ctx, header, state=STATE):
        """Compare all that is in use with memory."""
        regions, lines = self.regions, self.memory.lines
        for word in range(-(-header["sealed"] // regions.map_lanes)):
            assert await self.map_word(ctx, word) == lines[state + regions.map + word]
        for number in range(header["sealed"], header["opened"]):
            slot = number % self.config.kvmu.window_slots
            word, lane = divmod(slot, regions.open_lanes)
            line = lines[state + regions.open + word] >> OPEN_ENTRY.size * lane
            assert await self.entry(ctx, slot) == line & (1 << OPEN_ENTRY.size) - 1

    async def change(self, ctx, number, slot):
        """Write an entry of the map and an open one; return what they are."""
        word, lane = divmod(number, self.regions.map_lanes)
        new = [self.play.random.getrandbits(layout.size) for layout in (MAP_ENTRY, OPEN_ENTRY)]
        unit = self.unit
        ctx.set(unit.map.write, 1 << lane)
        ctx.set(unit.map.write_address, word)
        ctx.set(unit.map.write_data.as_value(), new[0] << MAP_ENTRY.size * lane)
        ctx.set(unit.open.write, 1)
        ctx.set(unit.open.write_address, slot)
        ctx.set(unit.open.write_data.as_value(), new[1])
        await ctx.tick()
        ctx.set(unit.map.write, 0)
        ctx.set(unit.open.write, 0)
        return new


def _endless(queue):
    """Yield what a list gets, and None while it has nothing."""
    while True:
        yield queue.pop(0) if queue else None


def held(bed, before):
    """Return the places in the state whose lines are not those of ``before``."""
    return {n - STATE for n, line in bed.memory.lines.items() if line != before.get(n)}


@pytest.mark.parametrize(("pause", "latency"), [(0.0, 0), (0.5, 9), (0.1, 40)])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_loads_and_stores(name, pause, latency):
    """A head is marked busy before its table is read, and unmarked when all is written."""
    bed = Bed(CONFIGURATIONS[name], pause=pause, latency=latency)
    regions, memory = bed.regions, bed.memory

    async def testbench(ctx):
        for sealed, opened in HEADERS:
            header = bed.header(sealed, opened)
            bed.put(header)
            before = dict(memory.lines)
            memory.again()
            assert await bed.load(ctx) == {"fault": Fault.NONE, "header": header}
            assert held(bed, before) == {0}
            assert memory.lines[STATE] == Packer(HEADER).pack({**header, "busy": 1})
            reads = [number - STATE for kind, number in memory.log if kind == "read"]
            assert reads[0] == 0 and {*reads[1:]} == bed.used(header)
            # A line in which the ring of open clusters begins and ends is read twice.
            assert len(reads) <= 2 + len(bed.used(header))
            assert ("write", STATE) in memory.log
            await bed.check(ctx, header)

            after = bed.header(min(sealed + 2, 64), max(opened, min(sealed + 2, 64)), busy=1)
            number, slot = max(after["sealed"] - 1, 0), (after["opened"] - 1) % 64
            new = await bed.change(ctx, number, slot)
            memory.again()
            assert await bed.store(ctx, after) == Fault.NONE
            writes = [number - STATE for kind, number in memory.log if kind == "write"]
            assert len(memory.log) == len(writes)
            assert {*writes[:-1]} == bed.used(after) and writes[-1] == 0
            assert memory.lines[STATE] == Packer(HEADER).pack({**after, "busy": 0})
            await bed.check(ctx, after)
            word, lane = divmod(number, regions.map_lanes)
            line = memory.lines[STATE + regions.map + word] >> MAP_ENTRY.size * lane
            assert line & (1 << MAP_ENTRY.size) - 1 == new[0]
            if after["opened"] > after["sealed"]:
                word, lane = divmod(slot, regions.open_lanes)
                line = memory.lines[STATE + regions.open + word] >> OPEN_ENTRY.size * lane
                assert line & (1 << OPEN_ENTRY.size) - 1 == new[1]

    bed.play.run(testbench)


IMPOSSIBLE = {
    "busy": {"busy": 1},
    "sealed beyond the entries": {"sealed": 65, "opened": 65},
    "sealed that were not opened": {"sealed": 2, "opened": 1},
    "open beyond the window": {"sealed": 1, "opened": 66},
    "open beyond the window, far": {"sealed": 0, "opened": 65535},
}


@pytest.mark.parametrize("fields", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_headers_that_cannot_be(fields):
    """Nothing but the header is read, and nothing is written."""
    bed = Bed(TINY, pause=0.3, latency=5)

    async def testbench(ctx):
        bed.put({**bed.header(3, 9), **fields})
        before = dict(bed.memory.lines)
        assert (await bed.load(ctx))["fault"] == Fault.STATE_OPEN
        assert bed.memory.log == [("read", STATE)] and not held(bed, before)
        header = bed.header(64, 128)
        bed.put(header)
        assert await bed.load(ctx) == {"fault": Fault.NONE, "header": header}
        await bed.check(ctx, header)

    bed.play.run(testbench)


@pytest.mark.parametrize("kind", ["read", "write", "outside"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_each_line_that_fails(name, kind):
    """Told; a head that has been marked stays so; the head after it is right."""
    bed = Bed(CONFIGURATIONS[name], pause=0.3, latency=6)
    told = {"read": Fault.MEMORY_READ, "write": Fault.MEMORY_WRITE, "outside": Fault.OUT_OF_BOUNDS}
    header = bed.header(9, 14)
    lines = len(bed.used(header))
    busy = {**header, "busy": 1}

    async def testbench(ctx):
        for number in range(1 + lines if kind == "read" else 1):
            bed.put(header)
            before = dict(bed.memory.lines)
            bed.memory.again(**{kind: number})
            assert (await bed.load(ctx))["fault"] == told[kind], number
            marked = kind == "read" and number > 0
            assert held(bed, before) == ({0} if marked else set())
            await well(ctx)
        for number in range(0 if kind == "read" else lines + 1):
            bed.put(header)
            bed.memory.again()
            assert (await bed.load(ctx))["fault"] == Fault.NONE
            bed.memory.again(**{kind: number})
            assert await bed.store(ctx, header) == told[kind], number
            assert bed.memory.lines[STATE] == Packer(HEADER).pack(busy)
            closes = ("write", STATE) in bed.memory.log
            assert closes == (number == lines), "the header is written only if all else is"
            await well(ctx)

    async def well(ctx):
        other = bed.header(2, 7)
        bed.put(other, 7 * STATE)
        bed.memory.again()
        assert await bed.load(ctx, 7 * STATE) == {"fault": Fault.NONE, "header": other}
        await bed.check(ctx, other, 7 * STATE)
        assert await bed.store(ctx, other, 7 * STATE) == Fault.NONE
        assert bed.memory.lines[7 * STATE] == Packer(HEADER).pack(other)

    bed.play.run(testbench)


def test_the_first_fault_is_told():
    """A read that fails, then a write that does; and a write, then one that is outside."""
    bed = Bed(TINY)
    header = bed.header(9, 14)

    async def testbench(ctx):
        bed.put(header)
        assert (await bed.load(ctx))["fault"] == Fault.NONE
        bed.memory.again(write=1, outside=3)
        assert await bed.store(ctx, header) == Fault.MEMORY_WRITE
        bed.put(header)
        bed.memory.again(outside=0, read=6)
        assert (await bed.load(ctx))["fault"] == Fault.OUT_OF_BOUNDS

    bed.play.run(testbench)


def test_cycles():
    """A load takes memory's latency three times and a cycle a line; a store twice."""
    for latency in (0, 30):
        bed = Bed(TINY, latency=latency)
        header = bed.header(64, 128)
        lines = len(bed.used(header))
        assert lines == 96
        took = {}

        async def testbench(ctx, bed=bed, header=header, took=took):
            bed.put(header)
            bed.loads.append({"state": STATE})
            took["load"] = await bed.play.until(ctx, lambda: bed.loaded)
            bed.stores.append({"state": STATE, "header": header})
            took["store"] = await bed.play.until(ctx, lambda: bed.stored)

        bed.play.run(testbench)
        assert took["load"] <= lines + 3 * latency + 24, took
        assert took["store"] <= lines + 2 * latency + 24, took


def test_more_writes_under_way_than_their_count_has_bits():
    """Answers that come 90 cycles late: no request is sent that could not be counted."""
    bed = Bed(TINY, latency=90)
    header = bed.header(64, 128)

    async def testbench(ctx):
        bed.put(header)
        assert (await bed.load(ctx))["fault"] == Fault.NONE
        assert await bed.store(ctx, header) == Fault.NONE
        assert bed.memory.log[-1] == ("write", STATE)

    bed.play.run(testbench)


def test_a_load_goes_before_a_store():
    """Asked for in the same cycle, both are done, one after the other."""
    bed = Bed(TINY, latency=3)
    header, other = bed.header(5, 12), bed.header(2, 4)

    async def testbench(ctx):
        bed.put(header)
        bed.loads.append({"state": STATE})
        bed.stores.append({"state": 9 * STATE, "header": other})
        await bed.play.until(ctx, lambda: bed.loaded)
        assert not bed.stored and bed.loaded[0]["header"] == header
        await bed.play.until(ctx, lambda: bed.stored)
        assert bed.memory.lines[9 * STATE] == Packer(HEADER).pack(other)

    bed.play.run(testbench)
