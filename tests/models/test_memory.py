"""The behavioural memory on cocotbext-axi's manager."""

import random
from functools import cache

import numpy as np
import pytest
from amaranth.sim import Simulator

from vrex_hw.config import CONFIGS, Config, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.generate import verilog
from vrex_hw.models.memory import READ_LATENCY, WRITE_LATENCY, Memory
from vrex_hw.models.noise import Noise
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
        ({"write_fault_at": 5}, [[a + 80, w, size] for a, w, size in write], 4),
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
        [16 * 1029, "33" * 16, 3],  # its low bits are those of line 5
    ]
    expected = {"0": {str(k): DECERR for k in range(5)}}
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


BURST = {"id": 5, "addr": 64, "len": 1, "size": 3, "burst": 1}


@pytest.mark.parametrize(
    ("change", "lasts", "response"),
    [
        ({}, (0, 1), OKAY),
        ({"burst": 0}, (0, 1), SLVERR),
        ({"burst": 2}, (0, 1), SLVERR),
        ({"size": 4}, (0, 1), SLVERR),
        ({"addr": 4096 - 8}, (0, 1), SLVERR),
        ({"addr": 4096 - 16}, (0, 1), OKAY),
        ({"addr": 16 * LINES - 8}, (0, 1), DECERR),
        ({}, (1, 1), SLVERR),
        ({}, (0, 0), SLVERR),
    ],
)
def test_bursts_against_the_rules(change, lasts, response):
    """In Amaranth's simulator, whose memory stands in for the Verilog; then it reads what it wrote.

    A wrong WLAST is told but its data are written."""
    unit = Memory(HALF, LINES)
    bus, burst = unit.s_axi, {**BURST, **change}

    async def moved(ctx, channel):
        ctx.set(getattr(bus, f"{channel}valid"), 1)
        await ctx.tick().until(getattr(bus, f"{channel}ready"))
        ctx.set(getattr(bus, f"{channel}valid"), 0)

    async def bench(ctx):
        for name, value in burst.items():
            ctx.set(getattr(bus, f"aw{name}"), value)
            ctx.set(getattr(bus, f"ar{name}"), value)
        await moved(ctx, "aw")
        for n, last in enumerate(lasts):
            for name, value in (("data", 0x1234 + n), ("strb", 255), ("last", last)):
                ctx.set(getattr(bus, f"w{name}"), value)
            await moved(ctx, "w")
        ctx.set(bus.bready, 1)
        got = await ctx.tick().sample(bus.bid, bus.bresp).until(bus.bvalid)
        assert got == (5, response)
        ctx.set(bus.rready, 1)
        await moved(ctx, "ar")
        kept = response == OKAY or lasts != (0, 1)
        for n in range(2):
            got = await ctx.tick().sample(bus.rdata, bus.rresp, bus.rlast).until(bus.rvalid)
            if kept:
                assert got == (0x1234 + n, OKAY, n == 1)
            elif response == SLVERR or n == 1:
                assert got[1:] == (response, n == 1)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_arguments_that_cannot_be_are_refused(refuses):
    refuses(lambda: Memory(HALF, 1), "lines is 1")
    refuses(lambda: Noise(5, 0), "seed is 0")
    refuses(lambda: Memory(sizes(8, 128), 2), "a bus of 128 bytes cannot carry lines of 16")


def test_a_large_one_is_emitted_with_its_storage_once():
    text = verilog(Memory(CONFIGS["core"], 1 << 20), "memory")
    assert len(text) < 200_000 and text.count("module vrex_ram") == 1
