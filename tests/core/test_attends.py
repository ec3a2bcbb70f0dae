"""Which jobs still attend: both banks, taken and freed in every order that can be."""

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from vrex_hw.core.attends import Attends

STATES = [0, 0x80, 0x8000_0080]
"""Of heads; one that differs from another in its highest bit alone."""


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_banks_in_turn(rate):
    """Taken and freed at random, also in the same cycle; all answers in every cycle."""
    unit, rng = Attends(), random.Random(rate)

    async def bench(ctx):
        held, bank, most = deque(), 0, 0
        for _ in range(2_000):
            own, asked = rng.choice(STATES), rng.choice(STATES)
            ctx.set(unit.own, own)
            ctx.set(unit.asked, asked)
            assert ctx.get(unit.bank) == bank
            assert ctx.get(unit.free) == (len(held) < 2)
            assert ctx.get(unit.some) == bool(held)
            assert ctx.get(unit.same) == (asked in held)
            frees = bool(held) and rng.random() < rate
            takes = len(held) < 2 and rng.random() < 0.5
            ctx.set(unit.take, takes)
            ctx.set(unit.freed, frees)
            await ctx.tick()
            if frees:
                held.popleft()
            if takes:
                held.append(own)
                bank ^= 1
            most = max(most, len(held))
        assert most == 2

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
