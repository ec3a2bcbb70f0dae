"""The KVPU on emitted Verilog, over its AXI ports."""

import pytest

from vrex_hw.config import CONFIGS
from vrex_hw.generate import emit
from vrex_sim import runner

BENCH = "vrex_sim.benches.kvpu"


@pytest.mark.parametrize(("idle", "stall", "seed"), [(0, 0, 1), (0.5, 0.5, 2)])
def test_kvpu(idle, stall, seed):
    arguments = {"config": "tiny", "seed": seed, "idle": idle, "stall": stall, "jobs": 40}
    runner.run(emit(CONFIGS["tiny"]), "kvpu", BENCH, arguments)


def test_corners():
    arguments = {"config": "tiny", "seed": 3, "idle": 0.3, "stall": 0.3}
    runner.run(emit(CONFIGS["tiny"]), "kvpu", f"{BENCH}_corners", arguments)
