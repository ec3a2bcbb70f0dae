"""Parts of the score path that have a number to get right, alone in Amaranth's simulator."""

from itertools import pairwise

import numpy as np
import pytest
from amaranth.sim import Simulator

from vrex.tables import LOG2E
from vrex_hw.lxe.scores.constant import ConstantMultiplier, signed_digits
from vrex_hw.lxe.scores.extremes import Extremes
from vrex_hw.lxe.scores.product import Product


def simulate(unit, bench):
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def stream(unit, inputs, output):
    """Return the output for each dictionary of inputs, one a cycle."""
    got = []

    async def bench(ctx):
        for cycle in range(len(inputs) + unit.latency):
            if cycle >= unit.latency:
                got.append(ctx.get(getattr(unit, output)))
            for name, value in inputs[cycle].items() if cycle < len(inputs) else ():
                ctx.set(getattr(unit, name), value)
            await ctx.tick()

    simulate(unit, bench)
    return got


@pytest.mark.parametrize("factor", [3, 7, 11, 0b1010101, 0xFFF0, LOG2E])
def test_constant_multiplier(factor):
    digits = signed_digits(factor)
    assert sum(sign << place for sign, place in digits) == factor
    assert all(b - a > 1 for (_, a), (_, b) in pairwise(digits))
    rng = np.random.default_rng(factor)
    values = [0, 1, (1 << 30) - 1, *rng.integers(0, 1 << 30, 60).tolist()]
    unit = ConstantMultiplier(30, factor)
    assert stream(unit, [{"a": a} for a in values], "product") == [a * factor for a in values]


@pytest.mark.parametrize("widths", [(5, 3), (18, 18), (14, 20), (20, 24), (19, 1), (37, 37)])
def test_product(widths):
    rng = np.random.default_rng(widths)
    full = [(1 << bits) - 1 for bits in widths]
    pairs = [(0, 0), tuple(full), (full[0], 1), (1, full[1])]
    pairs += [tuple(int(rng.integers(0, most, endpoint=True)) for most in full) for _ in range(60)]
    got = stream(Product(*widths), [{"a": a, "b": b} for a, b in pairs], "product")
    assert got == [a * b for a, b in pairs]


def key(number):
    """Return the integer that orders float32 ``number`` among others, -0 below 0."""
    bits = int(np.float32(number).view(np.uint32))
    return bits ^ 0xFFFFFFFF if bits >> 31 else bits | 1 << 31


@pytest.mark.parametrize("inputs", [2, 8])
def test_extremes(inputs):
    rng = np.random.default_rng(inputs)
    values = np.array([-np.inf, -3.4e38, -1.5, -0.0, 0.0, 1e-38, 2.5, 3.4e38, np.inf, np.nan])
    words = rng.choice(values, (200, inputs)).astype(np.float32)
    live = rng.integers(0, 1 << inputs, len(words)).tolist()
    sent = [
        {"scores": word.view(np.uint32).tolist(), "live": mask}
        for word, mask in zip(words, live, strict=True)
    ]
    for output, sign in (("most", 1), ("least", -1)):
        expected = [
            max((key(sign * x) for k, x in enumerate(word) if mask >> k & 1 and np.isfinite(x)),
                default=0)
            for word, mask in zip(words, live, strict=True)
        ]  # fmt: skip
        assert stream(Extremes(inputs), sent, output) == expected


def test_sizes_that_cannot_be_are_refused(refuses):
    refuses(lambda: ConstantMultiplier(4, 0), "factor is 0")
    refuses(lambda: ConstantMultiplier(4, -3), "factor is -3")
