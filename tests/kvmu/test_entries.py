"""The table's memories: an entry at a time for the units, a line at a time for the table."""

import pytest
from play import Play

from vrex_hw.config import CONFIGS
from vrex_hw.kvmu.entries import Entries
from vrex_hw.kvmu.layouts import MAP_ENTRY, OPEN_ENTRY
from vrex_hw.kvmu.regions import Regions


class Model:
    """The entries, and how they lie in lines."""

    def __init__(self, config):
        regions = Regions(config)
        self.lanes = {1: regions.map_lanes, 0: regions.open_lanes}
        self.widths = {1: MAP_ENTRY.size, 0: OPEN_ENTRY.size}
        self.words = {1: regions.map_lines, 0: regions.open_lines}
        self.entries = {k: [0] * self.lanes[k] * self.words[k] for k in (0, 1)}

    def line(self, kind, word):
        first, width = word * self.lanes[kind], self.widths[kind]
        own = self.entries[kind][first : first + self.lanes[kind]]
        return sum(entry << width * lane for lane, entry in enumerate(own))

    def load(self, kind, word, line):
        width = self.widths[kind]
        for lane in range(self.lanes[kind]):
            number = word * self.lanes[kind] + lane
            self.entries[kind][number] = line >> width * lane & (1 << width) - 1


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("name", ["tiny", "core"])
def test_entries_and_lines(name, pause):
    """Load, use, save, by turns; a line that waits in ``saved`` is neither lost nor changed."""
    config = CONFIGS[name]
    unit, model = Entries(config), Model(config)
    play = Play(unit, pause=pause, seed=len(name))
    saves = []
    play.feed(unit.save, _endless(saves))
    saved = play.drain(unit.saved)
    some = 12

    async def load(ctx):
        ctx.set(unit.load.valid, 1)
        for kind in (0, 1):
            for word in [0, model.words[kind] - 1, *range(1, some)]:
                line = play.random.getrandbits(model.lanes[kind] * model.widths[kind])
                model.load(kind, word, line)
                ctx.set(unit.load.p.line, {"map": kind, "word": word})
                ctx.set(unit.load.p.data.as_value(), line)
                await ctx.tick()
        ctx.set(unit.load.valid, 0)

    def number(kind):
        words = play.random.choice([range(some), [0, model.words[kind] - 1]])
        word = play.random.choice(words)
        return word * model.lanes[kind] + play.random.randrange(model.lanes[kind])

    async def use(ctx):
        """Read and write both tables at once; a read of what is written has what was before."""
        held = dict.fromkeys((0, 1))
        for _ in range(60):
            reads = {k: number(k) for k in (0, 1)}
            writes = {k: play.random.choice([reads[k], number(k)]) for k in (0, 1)}
            does = {k: play.random.random() < 0.7 for k in "rwRW"}
            lanes = model.lanes[1]
            ctx.set(unit.map.read, does["r"])
            ctx.set(unit.map.address, reads[1] // lanes)
            ctx.set(unit.open.read, does["R"])
            ctx.set(unit.open.address, reads[0])
            mask, word = play.random.getrandbits(lanes), play.random.getrandbits(64 * lanes)
            ctx.set(unit.map.write, mask if does["w"] else 0)
            ctx.set(unit.map.write_address, writes[1] // lanes)
            ctx.set(unit.map.write_data.as_value(), word)
            entry = play.random.getrandbits(OPEN_ENTRY.size)
            ctx.set(unit.open.write, does["W"])
            ctx.set(unit.open.write_address, writes[0])
            ctx.set(unit.open.write_data.as_value(), entry)
            if does["r"]:
                held[1] = model.line(1, reads[1] // lanes)
            if does["R"]:
                held[0] = model.entries[0][reads[0]]
            if does["w"]:
                for lane in range(lanes):
                    if mask >> lane & 1:
                        new = word >> 64 * lane & (1 << 64) - 1
                        model.entries[1][writes[1] // lanes * lanes + lane] = new
            if does["W"]:
                model.entries[0][writes[0]] = entry
            await ctx.tick()
            if held[1] is not None:
                assert ctx.get(unit.map.data.as_value()) == held[1]
            if held[0] is not None:
                assert ctx.get(unit.open.data.as_value()) == held[0]
        for signal in (unit.map.read, unit.map.write, unit.open.read, unit.open.write):
            ctx.set(signal, 0)

    async def save(ctx):
        asked = [(k, w) for k in (0, 1) for w in [*range(some), model.words[k] - 1]]
        play.random.shuffle(asked)
        saved.clear()
        saves.extend({"map": kind, "word": word} for kind, word in asked)
        took = await play.until(ctx, lambda: len(saved) == len(asked))
        size = 16 * config.lxe.side
        lines = [sum(e << 16 * n for n, e in enumerate(line)) for line in saved]
        assert lines == [model.line(kind, word) for kind, word in asked]
        assert max(lines).bit_length() <= size
        assert pause or took <= len(asked) + 3, "a line a cycle"
        assert not ctx.get(unit.saved.valid)

    async def testbench(ctx):
        await load(ctx)
        for _ in range(4):
            await use(ctx)
            await save(ctx)
        await load(ctx)
        await save(ctx)

    play.run(testbench)


def _endless(queue):
    """Yield what a list gets, and None while it has nothing."""
    while True:
        yield queue.pop(0) if queue else None
