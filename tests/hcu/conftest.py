import functools
from dataclasses import asdict

import pytest
from amaranth.back import verilog

from vrex_hw.config import CONFIGS, HCUConfig
from vrex_hw.hcu import HCU
from vrex_sim import runner

SIZES = {
    "tiny": CONFIGS["tiny"].hcu,
    "bits8": HCUConfig(hyperplanes=8, width=8, joinable=4, open=16),
    "lanes2": HCUConfig(hyperplanes=24, width=24, accumulators=2, joinable=4, open=16),
    "lanes4": HCUConfig(hyperplanes=13, width=5, accumulators=4, joinable=8, open=32),
    "lanes8": HCUConfig(hyperplanes=64, width=40, accumulators=8, joinable=16, open=64),
}
"""One to eight accumulators, one to three phases, widths that divide the planes and that do not."""


@functools.cache
def emit(config):
    return verilog.convert(HCU(config), name="hcu")


@pytest.fixture
def simulate():
    """Runs sessions of packets; every assignment is compared inside the bench."""

    def run(config, sessions, seed=1):
        given = {"config": asdict(config), "sessions": sessions, "seed": seed}
        return runner.run(emit(config), "hcu", "vrex_sim.benches.hcu", given)

    return run


@pytest.fixture(params=SIZES)
def size(request):
    return SIZES[request.param]


@pytest.fixture(params=["tiny", "lanes2", "lanes4"])
def lanes(request):
    """One, two and four accumulators."""
    return SIZES[request.param]
