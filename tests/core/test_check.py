"""Whether a job can be, and what follows from its fields: at every bound, and at random."""

import dataclasses
import random

import pytest
from amaranth.sim import Simulator

from vrex_hw.config import CONFIGS
from vrex_hw.core.check import Check
from vrex_hw.kvmu.regions import Regions

TINY = CONFIGS["tiny"]
ODD = dataclasses.replace(TINY, head_dims=(8, 12, 20))
"""Whose largest dimension, 20, has three chunks: memory has room for four."""
GOOD_JOB = {"tokens": 10, "group": 4, "q_stride": 7, "state": 0x8000_0080}
GOOD = {
    "dimension": 16,
    "n_sinks": 4,
    "n_hyperplanes": 32,
    "resident_room": 8,
    "cluster_cap": 8,
    "join_window": 16,
}
BOUNDS = {
    ("job", "tokens"): {0: False, 1: True, 65535 // 4: True, 65535 // 4 + 1: False, 65535: False},
    ("job", "group"): {0: False, 1: True, 6553: True, 6554: False, 65535: False},
    ("job", "state"): {0: True, 1: False, 64: False, 127: False, 128: True, 0xFFFF_FF80: True},
    ("settings", "dimension"): {0: False, 1: True, 8: True, 9: True, 16: True, 17: False}
    | {32: True, 40: False, 33: False, 56: False, 57: True, 64: True, 65: False, 128: False},
    ("settings", "n_sinks"): {0: True, 8: True, 9: False, 65535: False},
    ("settings", "n_hyperplanes"): {0: False, 1: True, 32: True, 33: False, 64: False},
    ("settings", "resident_room"): {0: True, 8: True, 9: False, 4096: False},
    ("settings", "cluster_cap"): {0: True, 8: True, 9: False, 65535: False},
    ("settings", "join_window"): {0: True, 16: True, 17: False, 65535: False},
}


def run(unit, bench):
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


async def judge(ctx, unit, job, settings, broken=0):
    """Give the unit a job for two cycles; return whether it is good."""
    for name, value in job.items():
        ctx.set(unit.job.descriptor[name], value)
    ctx.set(unit.job.broken, broken)
    for name, value in settings.items():
        ctx.set(unit.settings[name], value)
    await ctx.tick().repeat(2)
    return bool(ctx.get(unit.good))


@pytest.mark.parametrize("field", BOUNDS, ids=".".join)
def test_bounds(field):
    kind, name = field
    unit = Check(TINY)

    async def bench(ctx):
        assert await judge(ctx, unit, GOOD_JOB, GOOD)
        for value, good in BOUNDS[field].items():
            given = {"job": dict(GOOD_JOB), "settings": dict(GOOD)}
            given[kind][name] = value
            assert await judge(ctx, unit, **given) == good, value
            assert await judge(ctx, unit, GOOD_JOB, GOOD)
        assert not await judge(ctx, unit, GOOD_JOB, GOOD, broken=1)

    run(unit, bench)


def test_a_dimension_within_the_last_chunk_is_beyond_the_largest():
    """What fits the room of its chunks, but is beyond the largest, is refused all the same."""
    unit = Check(ODD)

    async def bench(ctx):
        for dimension, good in {12: True, 16: True, 20: False, 25: False, 32: False}.items():
            found = await judge(ctx, unit, GOOD_JOB, {**GOOD, "dimension": dimension})
            assert found == good, dimension

    run(unit, bench)


def test_what_follows_from_a_job():
    """Rows, chunks, and the lines from the first of the output to the last."""
    unit, rng = Check(TINY), random.Random(1)
    slot = 1 << Regions(TINY).slot_bits

    async def bench(ctx):
        for _ in range(300):
            tokens = rng.choice([1, 2, rng.randint(1, 300), rng.randint(1, 65535)])
            group = rng.randint(1, max(1, min(300, 65535 // tokens)))
            dimension = rng.choice([1, 8, 16, 13, 30, 57, 64])
            stride, state = rng.randrange(1 << 16), rng.randrange(1 << 25) * slot
            job = {"tokens": tokens, "group": group, "q_stride": stride, "state": state}
            assert await judge(ctx, unit, job, {**GOOD, "dimension": dimension})
            chunks = -(-dimension // TINY.lxe.side)
            assert ctx.get(unit.rows) == tokens * group
            assert 1 << ctx.get(unit.chunks_log2) == chunks
            await ctx.tick()
            assert ctx.get(unit.out_lines) == (tokens - 1) * stride + group * chunks

    run(unit, bench)
