"""The storer's writes: as many under way as are counted, all of them waited for."""

import pytest
from play import Play, PlayedMemory
from store_top import CONFIG

from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.line_writer import OUTSTANDING, LineWriter

STATE, LINES = 0x7C00, 400


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_more_writes_than_may_be_under_way(pause):
    """With answers 300 cycles late the writes pause; ``idle`` comes when all are answered."""
    unit, regions = LineWriter(CONFIG), Regions(CONFIG)
    play = Play(unit, pause=pause)
    memory = PlayedMemory(play, write=unit.write, latency=300)
    first = STATE + regions.counts
    data = [[play.random.getrandbits(16) for _ in range(8)] for _ in range(LINES)]
    lines = [{"address": first + n, "data": line, "mask": 255} for n, line in enumerate(data)]
    assert regions.resident - regions.counts >= LINES

    async def testbench(ctx):
        ctx.set(unit.state, STATE)
        await ctx.tick().repeat(2)
        assert ctx.get(unit.idle)
        play_lines.extend(lines)
        await play.until(ctx, lambda: memory.under_way)
        await play.until(ctx, lambda: ctx.get(unit.idle) and not play_lines)
        assert not memory.under_way
        assert [number for _, number in memory.log] == [line["address"] for line in lines]
        packed = [sum(e << 16 * n for n, e in enumerate(line)) for line in data]
        assert [memory.lines[first + n] for n in range(LINES)] == packed
        # One that is asked for finds the others: of these one may just have been answered.
        assert OUTSTANDING - 2 <= max(memory.others.values()) < OUTSTANDING

    play_lines = []
    play.feed(unit.i, _endless(play_lines))
    play.run(testbench)


def _endless(queue):
    """Yield what a list gets, and None while it has nothing."""
    while True:
        yield queue.pop(0) if queue else None
