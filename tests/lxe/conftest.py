"""The LXE's Verilog, once for each configuration."""

from collections.abc import Callable
from dataclasses import astuple
from functools import cache

import pytest

from vrex_hw.config import CONFIGS, Config
from vrex_hw.hierarchy import convert
from vrex_hw.lxe.lxe import LXE
from vrex_sim import ports, runner
from vrex_sim.benches.lxe_host import exchange
from vrex_sim.benches.lxe_traffic import Traffic
from vrex_sim.compiled import CompiledDevice


@cache
def verilog(config: Config) -> str:
    """Return the LXE's Verilog."""
    return convert(LXE(config), "lxe")


@pytest.fixture
def tiny() -> Config:
    """8 by 8, heads of up to 64."""
    return CONFIGS["tiny"]


@pytest.fixture
def lxe(tiny: Config) -> str:
    """The Verilog of ``tiny``."""
    return verilog(tiny)


@pytest.fixture
def run() -> Callable[..., dict]:
    """Return a function that runs traffic through the LXE, checks it and returns all that came."""

    def run(sent: Traffic, *, seed: int = 1, idle: float = 0.3, stall: float = 0.3) -> dict:
        text = verilog(sent.config)
        found = [list(astuple(port)) for port in ports.read(text, "lxe")]
        arguments = {**sent.arguments(), "seed": seed, "idle": idle, "stall": stall}
        got = runner.run(text, "lxe", "vrex_sim.benches.lxe", {**arguments, "ports": found})
        sent.check(got)
        return got

    return run


@pytest.fixture
def run_compiled() -> Callable[..., dict]:
    """Return the same for the compiled loop."""

    def run(sent: Traffic, *, seed: int = 1, idle: float, stall: float) -> dict:
        device = CompiledDevice(
            verilog(sent.config), "lxe", seed=seed, idle=idle, stall=stall, patience=5_000
        )
        got = device.run(exchange(device, sent.arguments()))
        sent.check(got)
        return got

    return run
