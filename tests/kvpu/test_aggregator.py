"""The row aggregator alone, on emitted Verilog."""

import random

import pytest
from amaranth.back import verilog

from vrex_hw.config import WTUConfig
from vrex_hw.kvpu.aggregator import Aggregator
from vrex_sim import runner

BENCH = "vrex_sim.benches.kvpu_aggregator"


def run(jobs, *, lanes=4, entries=64, idle=0.0, stall=0.0, seed=1):
    unit = Aggregator(WTUConfig(lanes=lanes, entries=entries))
    arguments = {"jobs": jobs, "lanes": lanes, "entries": entries, "seed": seed}
    text = verilog.convert(unit, name="aggregator")
    return runner.run(text, "aggregator", BENCH, {**arguments, "idle": idle, "stall": stall})


def row(clusters, error=0):
    return {"clusters": list(clusters), "error": error}


def random_jobs(rng, entries, jobs):
    """Jobs of 0 to 12 rows that select nothing, a few clusters, or many."""
    for _ in range(jobs):
        sizes = [rng.choice([0, 1, 3, 16, entries]) for _ in range(rng.randrange(13))]
        yield [row(rng.sample(range(entries), size), rng.random() < 0.05) for size in sizes]


@pytest.mark.parametrize(
    ("lanes", "entries", "idle", "stall"),
    [(4, 64, 0, 0), (4, 64, 0.5, 0.5), (4, 64, 0, 0.8), (1, 32, 0.3, 0.3), (16, 32, 0.3, 0.3)],
)
def test_unions_are_exact(lanes, entries, idle, stall):
    seed = lanes + int(10 * idle)
    jobs = list(random_jobs(random.Random(seed), entries, 60))
    run(jobs, lanes=lanes, entries=entries, idle=idle, stall=stall, seed=seed)


def test_corner_jobs():
    everything = row(range(64))
    run(
        [
            [],
            [row([])],
            [row([]), row([])],
            [row([0])],
            [row([63])],
            [everything],
            [row([])],  # the bank that everything was in is clean again
            [],
            [row([5], error=1), row([9])],
            [row([n]) for n in range(40)],
            [everything] * 3,
        ],
        idle=0.2,
        stall=0.2,
    )


def test_a_job_is_read_out_while_the_next_is_filled():
    """Forty jobs of forty rows: what is read out hides behind the rows that come in."""
    rows = [[row([n % 64]) for n in range(40)] for _ in range(40)]
    beats = 40 * 40 * 2
    assert run(rows)["cycles"] < 1.1 * beats + 64
