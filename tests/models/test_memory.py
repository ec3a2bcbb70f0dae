"""The behavioural memory on cocotbext-axi's manager."""

import random
from functools import cache

import numpy as np
import pytest

from vrex_hw.config import CONFIGS, Config, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.generate import verilog
from vrex_hw.models.memory import READ_LATENCY, WRITE_LATENCY, Memory
from vrex_sim import runner

LINES = 600
OKAY, SLVERR, DECERR = 0, 2, 3


def sizes(side, bus):
    return Config(
        head_dims=(8,),
        wtu=WTUConfig(lanes=2, entries=16),
        lxe=LXEConfig(side=side, rows=4, score_rows=2),
        kvmu=KVMUConfig(bus_bytes=bus, address_bits=32),
    )


HALF, WHOLE, ODD = sizes(8, 8), sizes(8, 16), sizes(16, 4)
QUIET = {"latency": 0, "stall": 0, "read_fault_at": 0, "write_fault_at": 0}


@cache
def emitted(config):
    return verilog(Memory(config, LINES, seed=3), "memory")


def run(config, phases, *, expected=None, seed=1, idle=0.0, stall=0.0):
    arguments = {"config": config.to_dict(), "lines": LINES, "phases": phases, "seed": seed}
    arguments |= {"expected": expected or {}, "idle": idle, "stall": stall}
    return runner.run(emitted(config), "memory", "vrex_sim.benches.memory_model", arguments)


def accesses(rng, config, count):
    """Random ones that do not overlap: any address, length and size of beat."""
    room = LINES * 2 * config.lxe.side // count
    widest = config.kvmu.bus_bytes.bit_length() - 1
    for k in range(count):
        length = rng.choice([1, rng.randrange(1, 20), room // 2])
        address = k * room + rng.randrange(room - length)
        size = rng.choice([widest, widest, rng.randrange(widest + 1)])
        what = length if rng.random() < 0.5 else rng.randbytes(length).hex()
        yield [address, what, size]


@pytest.mark.parametrize(
    ("config", "idle", "stall"), [(HALF, 0.3, 0.3), (WHOLE, 0.0, 0.5), (ODD, 0.2, 0.0)]
)
def test_any_bytes_in_any_bursts(config, idle, stall):
    rng = random.Random(config.lxe.side + config.kvmu.bus_bytes)
    knobs = [{}, {"latency": 9}, {"stall": 100}, {"latency": 255, "stall": 20}, {"stall": 230}]
    phases = [[{**QUIET, **k}, list(accesses(rng, config, 24))] for k in knobs]
    run(config, phases, idle=idle, stall=stall)


def test_faults_come_at_the_burst_that_was_named():
    """The count begins when the number changes; a write that fails does not write."""
    one = [[16 * k, 16, 3] for k in range(5)]
    write = [[16 * k, f"{k:02x}" * 16, 3] for k in range(5)]
    phases, expected = [], {}
    for knobs, what, bad in (
        ({"read_fault_at": 3}, one, 2),
        ({"read_fault_at": 3}, one, None),
        ({"read_fault_at": 1}, one, 0),
        ({"write_fault_at": 2}, write, 1),
        ({"write_fault_at": 5}, write[::-1], 4),
        ({"write_fault_at": 5, "read_fault_at": 5}, one, 4),
        ({}, one, None),
    ):
        if bad is not None:
            expected[str(len(phases))] = {str(bad): SLVERR}
        phases.append([{**QUIET, **knobs}, what])
    run(HALF, phases, expected=expected)


def test_where_there_is_no_memory():
    end = 16 * LINES
    outside = [
        [end, 16, 3],
        [end + 4096, "11" * 16, 3],
        [(1 << 32) - 16, "22" * 16, 3],
        [end, 1, 0],
    ]
    expected = {"0": {str(k): DECERR for k in range(4)}}
    run(HALF, [[QUIET, outside], [QUIET, [[end - 16, 16, 3], [0, 16, 3]]]], expected=expected)


@pytest.mark.parametrize("latency", [0, 1, 7, 100, 255])
def test_latency_is_as_stated(latency):
    phases = [
        [{**QUIET, "latency": latency}, [access]]
        for access in ([0, 16, 3], [32, 64, 3], [16, "33" * 16, 3], [128, "44" * 80, 3])
    ]
    got = run(HALF, phases)
    assert np.all(np.diff(got["read"], axis=0) == latency + READ_LATENCY)
    assert np.all(np.diff(got["write"], axis=0) == latency + WRITE_LATENCY)


def test_arguments_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="lines is 1"):
        Memory(HALF, 1)
    with pytest.raises(ValueError, match="seed is 0"):
        verilog(Memory(HALF, 2, seed=0), "memory")
    with pytest.raises(ValueError, match="a bus of 128 bytes cannot carry lines of 16"):
        Memory(sizes(8, 128), 2)


def test_a_large_one_is_emitted_with_its_storage_once():
    text = verilog(Memory(CONFIGS["core"], 1 << 20), "memory")
    assert len(text) < 200_000 and text.count("module vrex_ram") == 1
