"""The lines of a head's table that are in use: each of them, in order, and no other."""

import pytest
from play import Play

from vrex_hw.config import CONFIGS
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.walk import Walk

CASES = {
    "tiny": [
        (0, 0),
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 3),
        (64, 64),
        (64, 128),
        (0, 64),
        (5, 69),
        (62, 66),
        (63, 64),
    ],
    "core": [
        (0, 0),
        (0, 1),
        (1, 1),
        (8, 8),
        (9, 9),
        (9, 17),
        (500, 530),
        (511, 512),
        (512, 513),
        (2048, 2560),
        (2045, 2557),
        (2048, 65535),
    ],
}
"""(sealed, opened); in ``core`` 16 of the map or 8 open ones are a line, and 512 are open."""


def lines(config, sealed, opened):
    """Return the lines of a walk."""
    regions = Regions(config)
    found = [
        {"map": 1, "word": word, "offset": regions.map + word}
        for word in range(-(-sealed // regions.map_lanes))
    ]
    if opened > sealed:
        first, last = sealed // regions.open_lanes, (opened - 1) // regions.open_lanes
        for number in range(first, last + 1):
            word = number % regions.open_lines
            found.append({"map": 0, "word": word, "offset": regions.open + word})
    return found


@pytest.mark.parametrize("pause", [0.0, 0.5])
@pytest.mark.parametrize("name", CASES)
def test_walks(name, pause):
    """Walk after walk; without pauses a line a cycle, the first a cycle after ``begin``."""
    config = CONFIGS[name]
    unit = Walk(config)
    play = Play(unit, pause=pause)

    async def testbench(ctx):
        for sealed, opened in CASES[name]:
            expected, got, cycles = lines(config, sealed, opened), [], 0
            ctx.set(unit.line.ready, 0)
            ctx.set(unit.sealed, sealed)
            ctx.set(unit.opened, opened)
            ctx.set(unit.begin, 1)
            await ctx.tick()
            ctx.set(unit.begin, 0)
            while ctx.get(unit.line.valid):
                ready = not play.pauses()
                ctx.set(unit.line.ready, ready)
                if ready:
                    got.append({n: ctx.get(unit.line.p[n]) for n in ("map", "word", "offset")})
                await ctx.tick()
                cycles += 1
                assert len(got) <= len(expected), (sealed, opened)
            assert got == expected, (sealed, opened)
            assert pause or cycles == len(expected)

    play.run(testbench)
