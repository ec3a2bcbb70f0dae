"""The ports on the behavioural memory: everything under every knob, latencies and rates."""

import random

import numpy as np
import pytest
from memory_traffic import HALF, ODD, WHOLE, Traffic, bursts

from vrex_hw.models.memory import ADDRESS_LATENCY, READ_LATENCY, WRITE_LATENCY

LINES = 2048
REGION = 512


def mixed(config, seed):
    rng = random.Random(seed)
    writers = [
        {"base": base, "size": REGION, "bursts": bursts(rng, base, REGION, 14)}
        for base in (0, REGION)
    ]
    writers[1]["bursts"] += [[0, 3], [2 * REGION - 1, 2], [REGION, 1]]
    readers = [bursts(rng, 2 * REGION, LINES - 2 * REGION, 14) for _ in range(3)]
    return Traffic(config, LINES, seed, readers, writers)


@pytest.mark.parametrize(
    ("config", "knobs", "idle", "seed"),
    [
        (HALF, {}, 0.0, 1),
        (HALF, {"latency": 30, "stall": 60}, 0.3, 2),
        (WHOLE, {"latency": 255, "stall": 10}, 0.0, 3),
        (WHOLE, {"latency": 3, "stall": 200}, 0.3, 4),
        (ODD, {"latency": 17, "stall": 30}, 0.1, 5),
    ],
)
def test_clients_side_by_side(run_own, config, knobs, idle, seed):
    sent = mixed(config, seed)
    sent.check(run_own(sent, idle=idle, **knobs))


def reads(run_own, config, wanted, **knobs):
    writer = {"base": 0, "size": 1, "bursts": [[0, 1]]}
    sent = Traffic(config, 1024, readers=[wanted], writers=[writer], after=True)
    got = run_own(sent, **knobs)
    sent.check(got)
    return got


def writes(run_own, config, wanted, **knobs):
    writer = {"base": 0, "size": 1024, "bursts": wanted}
    sent = Traffic(config, 1024, readers=[[[0, 1]]], writers=[writer], after=True)
    got = run_own(sent, **knobs)
    sent.check(got)
    return got


SHORT = [[n, 1] for n in range(400)]
LONG = [[5, 256], [77, 256], [301, 256]]


@pytest.mark.parametrize("latency", [0, 100, 255])
@pytest.mark.parametrize(
    ("config", "wanted"), [(WHOLE, SHORT), (WHOLE, LONG), (HALF, LONG), (ODD, LONG)]
)
def test_reads_come_a_beat_a_cycle(run_own, config, wanted, latency):
    """Single lines back to back, bursts of 256 lines, whatever the latency."""
    cycles = reads(run_own, config, wanted, latency=latency)["cycle_0"]
    assert np.all(np.diff(cycles) == 2 * config.lxe.side // config.kvmu.bus_bytes)


@pytest.mark.parametrize(
    ("config", "wanted"), [(WHOLE, SHORT), (WHOLE, LONG), (HALF, LONG), (ODD, LONG)]
)
def test_writes_go_a_beat_a_cycle(run_own, config, wanted):
    cycles = writes(run_own, config, wanted)["done_0"][:, 2]
    beats = 2 * config.lxe.side // config.kvmu.bus_bytes
    assert np.diff(cycles).tolist() == [n * beats for _, n in wanted[1:]]


def test_latencies_are_as_stated(run_own):
    """From the request to the line of two beats, and to done, of a burst on its own."""
    for latency in (0, 20):
        got = reads(run_own, HALF, [[7, 1]], latency=latency)
        line = 3 + READ_LATENCY + latency + 1 + 1
        assert got["taken_read_0"].tolist() == [got["cycle_0"][0] - line]
        got = writes(run_own, HALF, [[7, 1]], latency=latency)
        last_beat = 3 + ADDRESS_LATENCY + 1
        done = last_beat + WRITE_LATENCY + latency + 1
        assert got["taken_write_0"].tolist() == [got["done_0"][0, 2] - done]


@pytest.mark.parametrize("config", [HALF, WHOLE])
def test_faults_reach_who_asked(run_own, config):
    """The third burst on the bus fails: its lines, its request, and nothing else."""
    page = 4096 // (2 * config.lxe.side)
    wanted = [[0, 4], [page - 2, 5], [7, 1], [9, 2]]
    got = run_own(
        Traffic(
            config,
            1024,
            readers=[wanted],
            writers=[{"base": 0, "size": 1024, "bursts": wanted}],
            after=True,
        ),
        read_fault_at=3,
        write_fault_at=3,
    )
    assert got["error_0"].tolist() == [0] * 6 + [1] * 3 + [0] * 3
    assert got["done_0"][:, :2].tolist() == [[0, 0], [1, 0], [0, 0], [0, 0]]


def test_a_memory_smaller_than_its_users_think(run_own):
    """What lies beyond answers with errors; the lines before are read and written."""
    lines = 1024
    writer = {"base": 0, "size": 4096, "bursts": [[lines - 2, 4], [lines, 1], [3, 1]]}
    sent = Traffic(HALF, lines, readers=[[[lines - 2, 4], [5000, 2]]], writers=[writer], after=True)
    got = run_own(sent, latency=5)
    assert got["error_0"].tolist() == [0, 0, 1, 1, 1, 1]
    assert got["done_0"][:, :2].tolist() == [[1, 0], [1, 0], [0, 0]]
