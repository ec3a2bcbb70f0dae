"""The ports of device memory on cocotbext-axi's, which checks bursts."""

import random

import numpy as np
import pytest
from memory_traffic import HALF, ODD, WHOLE, Traffic, bursts, sizes

from vrex_hw.axi import Signature
from vrex_hw.config import CONFIGS
from vrex_hw.generate import ports, verilog
from vrex_hw.memory import MemoryPort, ReadPort, WritePort

LINES = 2048
REGION = 512
"""Lines that a writer may write; readers read those above."""


def mixed(config, seed, *, poison=0):
    rng = random.Random(seed)
    writers = []
    for k in range(2):
        base = k * REGION
        inside = bursts(rng, base, REGION, 12)
        outside = [[base + REGION - 3, 4], [max(base - 1, 0) + 2 * (k == 0) * REGION, 2]]
        writers.append({"base": base, "size": REGION, "bursts": inside + outside})
        rng.shuffle(writers[-1]["bursts"])
    readers = [bursts(rng, 2 * REGION, LINES - 2 * REGION, 12) for _ in range(3)]
    lines = set(rng.sample(range(LINES), poison))
    return Traffic(config, LINES, seed, readers, writers, lines)


@pytest.mark.parametrize(
    ("config", "idle", "stall", "disorder", "poison", "seed"),
    [
        (HALF, 0.0, 0.0, False, 0, 1),
        (HALF, 0.3, 0.3, True, 50, 2),
        (WHOLE, 0.3, 0.3, True, 50, 3),
        (WHOLE, 0.0, 0.6, True, 0, 4),
        (ODD, 0.1, 0.1, True, 50, 5),
    ],
)
def test_clients_side_by_side(run, config, idle, stall, disorder, poison, seed):
    got = run(mixed(config, seed, poison=poison), idle=idle, stall=stall, disorder=disorder)
    assert any(out for k in range(2) for _, out, _ in got[f"done_{k}"])


@pytest.mark.parametrize("config", [HALF, WHOLE, ODD])
def test_what_is_done_can_be_read(run, config):
    """Bursts of 256 lines, and of a line on either side of a page."""
    page = 4096 // (2 * config.lxe.side)
    spots = [[0, 256], [page - 1, 2], [page, 1], [page - 1, 1], [300, 256], [2 * page - 100, 256]]
    sent = Traffic(
        config,
        1024,
        readers=[spots],
        writers=[{"base": 0, "size": 1024, "bursts": spots}],
        after=True,
    )
    run(sent, stall=0.1)


def test_the_bounds_of_a_writer_are_exact(run):
    inside = [[100, 1], [149, 1], [100, 50]]
    outside = [[99, 1], [150, 1], [149, 2], [99, 52], [0, 1], [(1 << 28) - 1, 256]]
    mixed = [b for pair in zip(inside, outside[:3], strict=True) for b in pair]
    writers = [
        {"base": 100, "size": 50, "bursts": mixed},
        {"base": 100, "size": 50, "bursts": outside},
        {"base": 0, "size": 0, "bursts": [[0, 1], [5, 3]]},
        {"base": (1 << 32) - 1, "size": (1 << 32) - 1, "bursts": [[(1 << 32) - 1, 2]]},
        {"base": 0, "size": (1 << 32) - 1, "bursts": [[1 << 28, 1], [(1 << 28) - 1, 2]]},
    ]
    got = run(Traffic(WHOLE, 1024, readers=[[[0, 1]]], writers=writers), stall=0.2)
    assert [row[1] for row in got["done_0"].tolist()] == [0, 1] * 3
    assert all(got[f"done_{k}"][:, 1].all() for k in range(1, 5))
    assert len(got["aw"]) == len(inside)


def test_a_read_beyond_the_address_space_is_an_error(run):
    """Lines before it are right, those of it are errors, in its turn, and nothing is asked for."""
    space = 1 << 28
    bursts = [[5, 40], [space - 3, 4], [7, 1], [space, 256], [(1 << 32) - 1, 256], [9, 2]]
    sent = Traffic(HALF, 1024, readers=[bursts, [[3, 30], [4, 30]]], writers=[idle_writer()])
    got = run(sent, stall=0.2, disorder=True)
    assert len(got["error_0"]) == 40 + 4 + 1 + 256 + 256 + 2
    assert all(address < 1 << 15 for _, _, address, _ in got["ar"].tolist())


def idle_writer():
    return {"base": 0, "size": 16, "bursts": [[0, 1]]}


def test_lower_clients_go_first(run):
    many = [[k, 1] for k in range(100)]
    sent = Traffic(
        WHOLE,
        1024,
        readers=[[[600 + n, 1] for n, _ in many]] * 3,
        writers=[
            {"base": 256 * k, "size": 256, "bursts": [[256 * k + n, 1] for n, _ in many]}
            for k in range(2)
        ],
    )
    got = run(sent)
    for channel in ("ar", "aw"):
        clients = got[channel][:, 1]
        assert np.all(np.diff(clients) >= 0), channel


def test_an_error_stays_with_its_line_and_its_request(run):
    """Of the beats of a line and of the bursts of a request, whichever fails."""
    poison = {3, 40, 300, 600}
    spots = [[0, 3], [3, 1], [0, 64], [41, 200], [200, 256], [601, 1], [599, 3]]
    writer = {"base": 0, "size": 1024, "bursts": spots}
    sent = Traffic(ODD, 1024, readers=[spots, spots], writers=[writer], poison=poison, after=True)
    sent.elements[:] = 1
    sent.mask[:] = 255
    got = run(sent, stall=0.1, disorder=True)
    assert got["done_0"][:, 0].tolist() == [0, 1, 1, 0, 1, 0, 1]


def test_the_core_is_generated():
    unit = MemoryPort(CONFIGS["core"], 5, 4)
    bits = {port["name"]: port["bits"] for port in ports(unit)}
    assert (bits["m_axi_araddr"], bits["m_axi_wdata"], bits["m_axi_wstrb"]) == (40, 1024, 128)
    assert "m_axi_awaddr" in verilog(unit, "memory_port")


def test_sizes_that_cannot_be_are_refused(refuses):
    refuses(lambda: MemoryPort(WHOLE, 17, 1), "clients is 17")
    refuses(lambda: WritePort(WHOLE, 0), "clients is 0")
    refuses(lambda: ReadPort(sizes(8, 32), 1), "a bus of 32 bytes cannot carry lines of 16")
    with pytest.raises(ValueError, match="data_bytes is 12"):
        Signature(12, 32, 4)
    with pytest.raises(ValueError, match="0 ID bits"):
        Signature(8, 32, 0)
