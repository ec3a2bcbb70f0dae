"""The mean key, over the emitted Verilog, against the reference."""

import functools

import numpy as np
import pytest
import torch
from amaranth.sim import Simulator

from resv_ref.numerics import fp32, from_bf16, mean_bf16
from vrex_hw.config import CONFIGS
from vrex_hw.hierarchy import convert
from vrex_hw.vpe.divide import QUOTIENT_BITS, Divide
from vrex_hw.vpe.mean import DIVISION, ROUND_TRIP, Mean
from vrex_sim import runner

CONFIG = CONFIGS["tiny"]
SIDE = CONFIG.lxe.side


@functools.cache
def emit():
    return convert(Mean(CONFIG), "mean")


def reference(keys):
    """Return the mean's bits, uint16 [d], of keys uint16 [n, d]."""
    total = torch.zeros(keys.shape[1])
    for key in torch.from_numpy(keys.view(np.int16)).view(torch.bfloat16):
        total = fp32.add(total, from_bf16(key))
    mean = mean_bf16(total, torch.tensor(len(keys)))
    return mean.view(torch.int16).numpy().view(np.uint16)


def gaussian(rng, shape):
    return (rng.normal(0, 2, shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def any_bits(rng, shape):
    """Any bits at all: subnormals, infinities, NaN, and sums that overflow."""
    return rng.integers(0, 1 << 16, shape, dtype=np.uint16)


def tiny(rng, shape):
    """Zeros of both signs, subnormals, and numbers whose mean is subnormal."""
    return rng.integers(0, 0x300, shape, dtype=np.uint16) | rng.choice(
        np.array([0, 0x8000], np.uint16), shape
    )


def largest(rng, shape):
    """The largest numbers, whose sums overflow unless they cancel."""
    return rng.integers(0x7F70, 0x7F80, shape, dtype=np.uint16) | rng.choice(
        np.array([0, 0x8000], np.uint16), shape
    )


def run(rng, keys, *, idle=0.0, stall=0.0):
    """Take the mean of each job's keys, uint16 [n, d]; compare; return the cycles of its beats."""
    beats = []
    for job in keys:
        count, dimension = job.shape
        chunks = -(-dimension // SIDE)
        padded = rng.integers(0, 1 << 16, (count, chunks * SIDE), dtype=np.uint16)
        padded[:, :dimension] = job
        beats.append(padded.reshape(-1, SIDE))
    given = {
        "config": CONFIG.to_dict(),
        "seed": 1,
        "idle": idle,
        "stall": stall,
        "jobs": [{"tokens": len(job), "dimension": job.shape[1]} for job in keys],
        "keys": np.concatenate(beats),
    }
    got = runner.run(emit(), "mean", "vrex_sim.benches.mean", given)
    first = 0
    for number, job in enumerate(keys):
        dimension = job.shape[1]
        chunks = -(-dimension // SIDE)
        mean = got["mean"][first : first + chunks].ravel()[:dimension]
        assert np.array_equal(mean, reference(job)), number
        assert got["last"][first : first + chunks].tolist() == [0] * (chunks - 1) + [1]
        first += chunks
    assert first == len(got["mean"])
    return got


@pytest.mark.parametrize("kind", [gaussian, any_bits, tiny, largest])
def test_equals_the_reference(kind):
    rng = np.random.default_rng(4)
    counts = [1, 1, 0, 2, 3, 5, 7, 31, 32, *rng.integers(1, 40, 24)]
    keys = [kind(rng, (count, rng.integers(1, 65))) for count in counts]
    run(rng, keys, idle=0.3, stall=0.3)


def test_every_small_number_of_tokens():
    """One key that is not zero, then zeros."""
    rng = np.random.default_rng(5)
    keys = []
    for count in [*range(1, 70), 127, 128, 129]:
        job = np.zeros((count, SIDE), np.uint16)
        job[0] = any_bits(rng, SIDE)
        keys.append(job)
    run(rng, keys)


def test_division_by_numbers_of_every_width():
    """Up to 65535, too many tokens to send, in the divider alone."""
    rng = np.random.default_rng(7)
    counts = np.concatenate([rng.integers(1 << k, 2 << k, 16) for k in range(16)])
    x = rng.integers(0, 1 << 32, len(counts), dtype=np.uint32)
    # Half of them not far from the smallest number, whose quotients are subnormal.
    x[::2] = (x[::2] & 0x83FFFFFF) | 0x00800000
    unit = Divide()
    got = []

    async def bench(ctx):
        for number, count in zip(x.tolist(), counts.tolist(), strict=True):
            places = 16 - count.bit_length()
            ctx.set(unit.x, number)
            ctx.set(unit.divisor, count << places)
            ctx.set(unit.places, places)
            ctx.set(unit.start, 1)
            await ctx.tick()
            ctx.set(unit.start, 0)
            ctx.set(unit.step, 1)
            await ctx.tick().repeat(QUOTIENT_BITS)
            ctx.set(unit.step, 0)
            await ctx.tick().repeat(Divide.LATENCY)
            got.append(ctx.get(unit.y))

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    total = torch.from_numpy(x.view(np.int32)).view(torch.float32)
    expected = mean_bf16(total, torch.from_numpy(counts)).view(torch.int16).numpy()
    assert np.array_equal(np.array(got, np.uint16), expected.view(np.uint16))


def test_rates():
    """Cycles as stated: of keys of one chunk and of eight, and of the division."""
    rng = np.random.default_rng(6)
    got = run(rng, [gaussian(rng, (40, SIDE)), gaussian(rng, (40, 8 * SIDE))])
    taken = got["taken"]
    assert np.all(np.diff(taken[:40]) == ROUND_TRIP)
    assert taken[-1] - taken[40] == 39 * max(8, ROUND_TRIP) + 7
    assert np.all(np.diff(got["given"][1:]) == DIVISION)
    assert DIVISION == QUOTIENT_BITS + Divide.LATENCY + 3
