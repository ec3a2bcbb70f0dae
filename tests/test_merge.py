"""Two streams become one: nothing is lost, the first goes before the other."""

import pytest
from amaranth.lib import data
from play import Play

from vrex_hw.merge import Merge

COUNT = 300


@pytest.mark.parametrize("pause", [0.0, 0.3, 0.8])
def test_every_beat_comes_once_and_in_its_order(pause):
    unit = Merge(data.StructLayout({"way": 1, "number": 16}))
    play = Play(unit, pause=pause)
    for way in range(2):
        play.feed(unit.i[way], [{"way": way, "number": n} for n in range(COUNT)])
    got = play.drain(unit.o)

    async def testbench(ctx):
        cycles = await play.until(ctx, lambda: len(got) == 2 * COUNT)
        if not pause:
            # A beat a cycle, as the other side has every second one to itself.
            assert cycles <= 2 * COUNT + 2

    play.run(testbench)
    for way in range(2):
        assert [b["number"] for b in got if b["way"] == way] == list(range(COUNT))


def test_the_first_goes_before_the_other():
    unit = Merge(data.StructLayout({"way": 1}))
    play = Play(unit)

    async def testbench(ctx):
        for way in range(2):
            ctx.set(unit.i[way].p.way, way)
            ctx.set(unit.i[way].valid, 1)
        assert ctx.get(unit.i[0].ready) and not ctx.get(unit.i[1].ready)
        await ctx.tick()
        ctx.set(unit.i[0].valid, 0)
        assert ctx.get(unit.o.valid) and not ctx.get(unit.o.p.way)
        assert not ctx.get(unit.i[1].ready), "what is given holds until it is taken"
        ctx.set(unit.o.ready, 1)
        assert ctx.get(unit.i[1].ready)
        await ctx.tick()
        assert ctx.get(unit.o.valid) and ctx.get(unit.o.p.way)

    play.run(testbench)
