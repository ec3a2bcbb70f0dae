"""The open clusters of a head, one after the other: each once, from its own slot."""

import pytest
from play import Play

from vrex_hw.config import CONFIGS
from vrex_hw.core.open_walk import OpenWalk
from vrex_hw.kvmu.layouts import OPEN_ENTRY
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
SLOTS = TINY.kvmu.window_slots
WALKS = [(0, 0), (0, 1), (7, 7), (3, 9), (60, 70), (5, 5 + SLOTS), (65530, 65535), (64, 128)]
"""(sealed, opened)."""


@pytest.mark.parametrize("pause", [0.0, 0.6])
def test_walks(pause):
    """A cluster every 2 cycles; of none, no walk is begun."""
    unit = OpenWalk(TINY)
    play = Play(unit, pause=pause)
    packer = Packer(OPEN_ENTRY)
    entries = [{**packer.unpack(play.random.getrandbits(128)), "padding": 0} for _ in range(SLOTS)]
    got = play.drain(unit.cluster)

    async def table(ctx):
        while True:
            *_, read, address = await ctx.tick().sample(unit.open.read, unit.open.address)
            if read:
                ctx.set(unit.open.data.as_value(), packer.pack(entries[address]))

    async def testbench(ctx):
        for sealed, opened in WALKS:
            got.clear()
            ctx.set(unit.sealed, sealed)
            ctx.set(unit.opened, opened)
            await ctx.tick().repeat(play.random.randint(1, 3))
            assert not ctx.get(unit.busy)
            ctx.set(unit.begin, 1)
            await ctx.tick()
            ctx.set(unit.begin, 0)
            assert ctx.get(unit.busy) == (sealed != opened)
            took = await play.until(ctx, lambda: not ctx.get(unit.busy))
            slots = [number % SLOTS for number in range(sealed, opened)]
            assert got == [{"slot": slot, "entry": entries[slot]} for slot in slots]
            assert pause or took == 2 * len(slots)

    play.beside(table)
    play.run(testbench)
