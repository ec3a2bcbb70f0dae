"""Add and Multiply against the reference, on corners and random numbers."""

import numpy as np
import pytest
import torch

from resv_ref.numerics import fp32, to_bf16
from vrex_hw.vpe.add import Add
from vrex_hw.vpe.bf16 import Round
from vrex_hw.vpe.multiply import Multiply
from vrex_sim.lanes import compute

CORNERS = [
    0x00000000, 0x00000001, 0x00400000, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF,
    0x01000000, 0x01000001, 0x0C000000, 0x33800000, 0x33FFFFFF, 0x34000000, 0x3F000000,
    0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x3F800002, 0x3FFFFFFF, 0x40000000, 0x4B7FFFFF,
    0x4B800000, 0x4B800001, 0x7E800000, 0x7EFFFFFF, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF,
    0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF,
]  # fmt: skip


def corners():
    """Every pair of corners, with both signs."""
    values = np.array(CORNERS, np.uint32)
    values = np.concatenate([values, values | np.uint32(1 << 31)])
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


def random_pairs(rng, count):
    """Uniform bits; exponents near each other; and b near -a, which cancels."""
    x, y, few = (rng.integers(0, 1 << 32, count, dtype=np.uint32) for _ in range(3))
    few &= rng.integers(0, 1 << 32, count, dtype=np.uint32)
    close = (x & 0x80FFFFFF) | 0x40000000, (y & 0x83FFFFFF) | 0x3C000000
    edge = (x & 0x83FFFFFF) | 0x1C000000, (y & 0x84FFFFFF) | 0x20000000
    return np.concatenate([x, close[0], x, edge[0]]), np.concatenate(
        [y, close[1], x ^ (few & 0x800FFFFF), edge[1]]
    )


def reference(operation, a, b):
    """Apply ``operation`` of the reference to bits."""
    a, b = (torch.from_numpy(x.view(np.int32)).view(torch.float32) for x in (a, b))
    return operation(a, b).view(torch.int32).numpy().view(np.uint32)


@pytest.mark.parametrize(
    ("make", "output", "operation"), [(Add, "sum", fp32.add), (Multiply, "product", fp32.mul)]
)
def test_equals_the_reference(make, output, operation):
    pairs = [corners(), random_pairs(np.random.default_rng(5), 50_000)]
    a, b = (np.concatenate(column) for column in zip(*pairs, strict=True))
    got = compute(make, make.LATENCY, output, a=a, b=b)
    expected = reference(operation, a, b)
    wrong = np.nonzero(got != expected)[0][:5]
    assert not [tuple(f"{x[i]:08x}" for x in (a, b, got, expected)) for i in wrong]


def test_bf16_round_equals_the_reference():
    rng = np.random.default_rng(6)
    every_high = np.arange(1 << 16, dtype=np.uint32) << 16
    low = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x = np.concatenate([every_high | low[rng.integers(0, 6, 1 << 16)], every_high | 0x8000])
    got = compute(Round, Round.LATENCY, "y", bits=16, x=x)
    expected = to_bf16(torch.from_numpy(x.view(np.int32)).view(torch.float32))
    assert np.array_equal(got, expected.view(torch.int16).numpy().view(np.uint16))
