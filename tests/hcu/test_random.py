"""Random packets of several heads through the HCU, and through the reference beside it."""

import random
from collections import Counter
from dataclasses import asdict

import pytest
import torch

from resv_ref.clustering import HCTable
from vrex import Params
from vrex_sim.benches.hcu_traffic import INDEX, Head, Registers

SESSIONS = 24
PACKETS = 8
SELDOM = {"all tie"}
"""Left to test_corners."""


def draw_registers(rng, config):
    return Registers(
        hamming_threshold=rng.choice([0, 1, 2, 2, 3, 5, config.hyperplanes + 1]),
        join_window=rng.choice([config.joinable, rng.randint(1, config.joinable)]),
        cluster_cap=rng.choice([1, 2, 3, 5, 65535]),
        recent_window=rng.randint(1, config.open - 8),
    )


def draw_bits(rng, config, head, count, few):
    """Tokens near clusters that are there and near each other; ``few`` bits make many ties."""
    planes, seeds = 3, [0]
    if not few:
        planes = config.hyperplanes
        seeds = [c.hash for c in head.clusters[-config.joinable :]]
        seeds += [rng.getrandbits(planes) for _ in range(3)]
    tokens = []
    for _ in range(count):
        bits = rng.choice(seeds)
        for _ in range(rng.randint(0, 3)):
            bits ^= 1 << rng.randrange(planes)
        tokens.append(bits)
    return tokens


def draw_session(rng, config, registers, heads):
    packets, before, few = [], None, rng.random() < 0.5
    for _ in range(PACKETS):
        head = rng.choice(heads)
        free = config.open - (len(head.clusters) - head.sealed)
        tokens = draw_bits(rng, config, head, rng.randint(0, min(8, free)), few)
        packets.append(head.packet(tokens, registers, resume=head is before and rng.random() < 0.5))
        before = head
    return packets


def draw(config, seed):
    rng = random.Random(seed)
    sessions, seen = [], Counter()
    for _ in range(SESSIONS):
        registers = draw_registers(rng, config)
        heads = [Head(index=rng.choice([0, 5, INDEX - 9])) for _ in range(3)]
        packets = draw_session(rng, config, registers, heads)
        pace = {"idle": rng.choice([0.0, 0.3, 0.8]), "stall": rng.choice([0.0, 0.3, 0.9])}
        sessions.append({"registers": asdict(registers), "packets": packets, **pace})
        for head in heads:
            seen.update(head.seen)
    return sessions, seen


def test_random_packets(simulate, size, capsys):
    sessions, seen = draw(size, seed=size.hyperplanes)
    result = simulate(size, sessions)
    with capsys.disabled():
        met = ", ".join(f"{name} {count}" for name, count in sorted(seen.items()))
        print(f"\n{size}\n  met: {met}\n  {result['busy']} cycles, {result['compares']} compares")
    assert not {name for name, count in seen.items() if not count} - SELDOM


@pytest.mark.parametrize("seed", range(8))
def test_the_bench_predicts_what_the_reference_does(size, seed):
    rng = random.Random(seed)
    registers = draw_registers(rng, size)
    params = Params(n_hyperplanes=size.hyperplanes, **asdict(registers))
    head, table, token = Head(), HCTable(params, width=1), 0
    key = torch.zeros(1)
    for _ in range(20):
        for bits, expected in zip(
            tokens := draw_bits(rng, size, head, rng.randint(0, 8), seed % 2),
            head.packet(tokens, registers)["assign"],
            strict=False,
        ):
            assert table.assign(token, bits, key, key) == expected["number"]
            token += 1
        table.seal()
        assert table.sealed == head.sealed
