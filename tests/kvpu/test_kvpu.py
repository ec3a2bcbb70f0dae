"""The KVPU on emitted Verilog, over its AXI ports."""

import pytest

from vrex_hw.config import CONFIGS, Config, HCUConfig, WTUConfig
from vrex_hw.generate import emit
from vrex_sim import runner

BENCH = "vrex_sim.benches.kvpu"
ODD = Config(
    hcu=HCUConfig(hyperplanes=13, width=5, accumulators=2, joinable=8, open=32),
    wtu=WTUConfig(lanes=1, entries=32, digit_bits=3, candidates=2),
)
"""Hashes that fill no byte, one lane: padding everywhere."""


def run(config, bench, **arguments):
    runner.run(emit(config), "kvpu", bench, {"config": config.to_dict(), **arguments})


@pytest.mark.parametrize(
    ("config", "idle", "stall", "seed"),
    [(CONFIGS["tiny"], 0, 0, 1), (CONFIGS["tiny"], 0.5, 0.5, 2), (ODD, 0.3, 0.3, 3)],
)
def test_jobs_side_by_side(config, idle, stall, seed):
    run(config, BENCH, seed=seed, idle=idle, stall=stall, jobs=40)


def test_corners():
    run(CONFIGS["tiny"], f"{BENCH}_corners", seed=4, idle=0.3, stall=0.3)
