"""The ports' Verilog, once for each configuration, with cocotbext-axi's memory or our own."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from vrex_hw.generate import verilog
from vrex_hw.memory import MemoryPort
from vrex_sim import runner

sys.path.insert(0, str(Path(__file__).parent))
from memory_traffic import System, Traffic

BENCH = "vrex_sim.benches.memory"


@cache
def emitted(config, readers: int, writers: int, lines: int) -> str:
    if lines:
        return verilog(System(config, readers, writers, lines), "memory_system")
    return verilog(MemoryPort(config, readers, writers), "memory_port")


@pytest.fixture
def run() -> Callable[..., dict]:
    """Return a function that runs traffic on cocotbext-axi's memory and checks it."""

    def run(sent: Traffic, *, idle=0.0, stall=0.0, disorder=False) -> dict:
        text = emitted(sent.config, len(sent.readers), len(sent.writers), 0)
        arguments = {**sent.arguments(), "idle": idle, "stall": stall, "disorder": disorder}
        got = runner.run(text, "memory_port", BENCH, {**arguments, "own": False})
        sent.check(got)
        sent.check_bursts(got)
        return got

    return run


@pytest.fixture
def run_own() -> Callable[..., dict]:
    """Return the same for the behavioural memory."""

    def run(sent: Traffic, *, idle=0.0, **knobs) -> dict:
        text = emitted(sent.config, len(sent.readers), len(sent.writers), sent.lines)
        quiet = {"latency": 0, "stall": 0, "read_fault_at": 0, "write_fault_at": 0}
        arguments = {**sent.arguments(), "idle": idle, "stall": idle, "own": True}
        return runner.run(text, "memory_system", BENCH, {**arguments, "knobs": {**quiet, **knobs}})

    return run
