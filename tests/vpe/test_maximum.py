"""The maximum over lanes, alone in Amaranth's simulator."""

import math
import random
import struct

import pytest
from amaranth.sim import Simulator

from vrex_hw.vpe.maximum import NONE, Maximum

VALUES = [0.0, -0.0, 1.0, -1.0, 1.5, -1.5, 2.0**-126, -(2.0**-126), 3e38, -3e38, math.nan]
SIGN = 1 << 31


def bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def number(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def from_key(key):
    return number(key ^ SIGN if key & SIGN else key ^ 0xFFFFFFFF)


def draw(rng, width):
    values = [rng.choice(VALUES) if rng.random() < 0.5 else rng.gauss(0, 9) for _ in range(width)]
    live = [rng.random() < rng.choice([0.1, 0.9]) for _ in range(width)]
    return values, live


@pytest.mark.parametrize("sign", [0, SIGN], ids=["maximum", "minimum"])
@pytest.mark.parametrize(("width", "levels"), [(2, 1), (8, 1), (8, 2), (16, 2), (8, 3), (5, 2)])
def test_largest_of_the_live_numbers(width, levels, sign):
    unit, rng = Maximum(width, levels), random.Random(width + levels)
    beats = [draw(rng, width) for _ in range(150)]

    async def bench(ctx):
        for cycle in range(len(beats) + unit.latency):
            if cycle < len(beats):
                values, live = beats[cycle]
                ctx.set(unit.values, [bits(v) ^ sign for v in values])
                ctx.set(unit.live, sum(x << k for k, x in enumerate(live)))
            if cycle >= unit.latency:
                values, live = beats[cycle - unit.latency]
                left = [v for v, x in zip(values, live, strict=True) if x and not math.isnan(v)]
                key = ctx.get(unit.key)
                assert (key == NONE) == (not left)
                if left:
                    expected = -min(left) if sign else max(left)
                    assert from_key(key) == number(bits(expected))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_sizes_out_of_bounds_are_named(refuses):
    refuses(lambda: Maximum(1), "width is 1")
    refuses(lambda: Maximum(4, 0), "levels is 0")
