"""Parts of the WTU that have a number to get right, alone in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator

from vrex_hw.config import WTUConfig
from vrex_hw.multiplier import Multiplier
from vrex_hw.wtu.layouts import Layouts
from vrex_hw.wtu.sequencer import Sequencer
from vrex_hw.wtu.threshold import Threshold
from vrex_hw.wtu.tree import AdderTree
from vrex_hw.wtu.walk import Walk


def simulate(unit, bench):
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_multiplier_gives_every_product_after_its_latency():
    unit = Multiplier(5, 3)
    pairs = [(a, b) for a in range(32) for b in range(8)]

    async def bench(ctx):
        for cycle, (a, b) in enumerate(pairs + [(0, 0)] * Multiplier.LATENCY):
            ctx.set(unit.a, a)
            ctx.set(unit.b, b)
            if cycle >= Multiplier.LATENCY:
                a, b = pairs[cycle - Multiplier.LATENCY]
                assert ctx.get(unit.product) == a * b
            await ctx.tick()

    simulate(unit, bench)


@pytest.mark.parametrize("inputs", [2, 8, 16])
def test_adder_tree_adds_without_overflow(inputs):
    unit = AdderTree(inputs, 6)
    rng = random.Random(inputs)
    beats = [[63] * inputs] + [[rng.randrange(64) for _ in range(inputs)] for _ in range(40)]

    async def bench(ctx):
        for cycle in range(len(beats) + unit.latency):
            if cycle < len(beats):
                ctx.set(unit.terms, beats[cycle])
            if cycle >= unit.latency:
                assert ctx.get(unit.total) == sum(beats[cycle - unit.latency])
            await ctx.tick()

    simulate(unit, bench)


@pytest.mark.parametrize(
    "config",
    [WTUConfig(), WTUConfig(lanes=2, entries=8, weight_bits=3, count_bits=2), WTUConfig(lanes=1)],
    ids=["core", "small", "one_lane"],
)
def test_threshold_is_exact_after_its_latency(config):
    shapes = Layouts(config)
    unit = Threshold(shapes)
    rng = random.Random(1)
    most = ((1 << config.weight_bits) - 1) * ((1 << config.count_bits) - 1)
    rows = [
        (ratio, [[rng.choice([0, most, rng.randrange(most + 1)]) for _ in range(config.lanes)]] * n)
        for ratio in (0, 1, 19661, 65535, 65536, 131071)
        for n in (1, 2, 3)
    ]
    rows.append((65536, [[most] * config.lanes] * config.words))

    async def bench(ctx):
        for ratio, beats in rows:
            ctx.set(unit.ratio, ratio)
            for number, masses in enumerate(beats):
                ctx.set(unit.masses, masses)
                ctx.set(unit.add, 1)
                ctx.set(unit.last, number == len(beats) - 1)
                await ctx.tick()
            ctx.set(unit.add, 0)
            await ctx.tick().repeat(unit.latency - 1)
            total = sum(map(sum, beats))
            assert ctx.get(unit.threshold) == ratio * total >> 16

    simulate(unit, bench)


def test_sizes_that_cannot_be_are_refused(refuses):
    shapes = Layouts(WTUConfig())
    for make, what in (
        (lambda: Multiplier(0, 4), "0 and 4"),
        (lambda: AdderTree(3, 4), "3"),
        (lambda: Walk(shapes, 0), "latency is 0"),
        (lambda: Sequencer(shapes, 0), "fill_delay is 0"),
    ):
        refuses(make, what)
