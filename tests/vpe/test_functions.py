"""Exp2 and Reciprocal against the reference: every BF16 input and dense float32."""

import numpy as np
import pytest
import torch

from resv_ref.numerics import exp2, exp2_bf16, reciprocal
from vrex_hw.vpe.exp2 import Exp2
from vrex_hw.vpe.reciprocal import Reciprocal
from vrex_sim.lanes import compute

EVERY_BF16 = np.arange(1 << 16, dtype=np.uint32) << 16


def floats(bits):
    return torch.from_numpy(bits.view(np.int32)).view(torch.float32)


def near_integers():
    """Numbers a few steps of 2^-20 from every integer where 2^x is a number, and beyond."""
    whole, step = np.arange(-130, 131)[:, None], np.arange(-20, 21)
    return (whole + step * 2.0**-20).astype(np.float32).view(np.uint32).ravel()


@pytest.mark.parametrize(
    ("make", "port", "bits", "function"),
    [(Exp2, "y", 16, exp2_bf16), (Exp2, "exact", 32, exp2), (Reciprocal, "y", 32, reciprocal)],
)
def test_equals_the_reference(make, port, bits, function):
    rng = np.random.default_rng(bits)
    anything = rng.integers(0, 1 << 32, 30_000, dtype=np.uint32)
    # From 2^-24 to 2^7: where both functions are neither trivial nor out of range.
    dense = (anything & 0x807FFFFF) | rng.integers(103, 135, 30_000, dtype=np.uint32) << 23
    x = np.concatenate([EVERY_BF16, EVERY_BF16 | 0xFFFF, anything, dense, near_integers()])
    got = compute(make, make.LATENCY, port, bits=bits, x=x)
    expected = function(floats(x)).view(torch.int16 if bits == 16 else torch.int32).numpy()
    expected = expected.view(f"<u{bits // 8}")
    wrong = np.nonzero(got != expected)[0][:5]
    assert not [tuple(f"{v[i]:08x}" for v in (x, got, expected)) for i in wrong]
