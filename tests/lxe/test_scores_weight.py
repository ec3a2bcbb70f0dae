"""A weight lane against the reference: every BF16 difference, every temperature, all maps."""

import numpy as np
import pytest
import torch

from resv_ref.numerics import exp_weight
from resv_ref.numerics.maps import weights
from vrex import Params
from vrex_hw.lxe.scores.weight import TOP, Weight
from vrex_sim.lanes import compute

EVERY_BF16 = np.arange(1 << 16, dtype=np.uint32) << 16


def lane(difference, exponential, base):
    shape = np.broadcast_shapes(difference.shape, np.shape(base))
    control = [np.broadcast_to(np.uint32(x), shape).copy() for x in (exponential, base)]
    return compute(
        Weight,
        Weight.LATENCY,
        "weight",
        bits=16,
        difference=difference,
        exponential=control[0],
        base=control[1],
    )


def floats(bits):
    return torch.from_numpy(bits.view(np.int32)).view(torch.float32)


def is_subnormal(bits):
    """Return where ``bits`` are those of a subnormal number, which no difference is."""
    return ((bits & 0x7F800000) == 0) & ((bits & 0x7FFFFFFF) != 0)


def differs(got, expected, *shown):
    wrong = np.nonzero(got != expected.numpy())[0][:5]
    return [(*(f"{x[i]:08x}" for x in shown), got[i], int(expected[i])) for i in wrong]


def test_exp_of_every_bf16_at_every_temperature():
    fine = np.random.default_rng(2).integers(0xBC000000, 0xC4000000, 4000, dtype=np.uint32)
    x = np.concatenate([EVERY_BF16[1 << 15 :], EVERY_BF16[:1], fine])
    x = x[~is_subnormal(x)]
    powers = np.repeat(np.arange(-4, 5), len(x))
    every = np.tile(x, 9)
    got = lane(every, 1, (TOP + powers).astype(np.uint32))
    expected = torch.cat([exp_weight(floats(x), 2.0**power) for power in range(-4, 5)])
    assert not differs(got, expected, every)


@pytest.mark.parametrize("score_map", ["shift_min", "relu"])
def test_other_maps_of_every_bf16(score_map):
    """Every BF16; numbers of like size; and ties in every place, exact ones and near ones."""
    rng = np.random.default_rng(3)
    values = rng.permutation(EVERY_BF16[(EVERY_BF16 & 0x7F800000) != 0]).reshape(-1, 60)
    low = rng.integers(0, 1 << 16, values.shape, dtype=np.uint32)
    near = (values & 0x00FF0000) | (values[:, :1] & 0x7F000000) | low
    below = rng.integers(0, 17, values.shape, dtype=np.uint32)
    ties = (low & -(2 << 7 + below) | 1 << 7 + below) & 0x7FFFFF | rng.integers(0, 2, values.shape)
    ties = (ties | (150 - below) << 23).astype(np.uint32)
    rows = np.concatenate([values, near, ties])
    if score_map == "shift_min":
        rows &= 0x7FFFFFFF
    rows[is_subnormal(rows)] = 0
    rows = np.concatenate([np.zeros_like(rows[:, :1]), rows], axis=1)
    finite = np.where((rows & 0x7F800000) == 0x7F800000, 0, rows)
    largest = np.where(finite >> 31, 0, finite).max(axis=1, keepdims=True)
    bits = rows.ravel()
    base = np.broadcast_to(largest >> 23, rows.shape).ravel()
    expected = weights(floats(rows), Params(score_map=score_map)).ravel()
    assert not differs(lane(bits, 0, base), expected, bits, base)
