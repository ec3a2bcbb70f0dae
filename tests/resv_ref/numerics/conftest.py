"""An oracle of binary rounding in exact fractions, which shares nothing with the code."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

Real = Fraction | None
"""An exact value; None is the canonical NaN."""


def _nearest(value: Fraction, precision: int) -> Real:
    if value == 0:
        return Fraction(0)
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - precision + 1)
    result = round(value / unit) * unit
    if abs(result) >= Fraction(2) ** 128:
        return None
    return result if abs(result) >= Fraction(1, 2**126) else Fraction(0)


@pytest.fixture(scope="session")
def nearest() -> Callable[[Fraction, int], Real]:
    """Round to ``precision`` bits (24: float32, 8: BF16), subnormals to 0, overflow to None."""
    return _nearest


@pytest.fixture(scope="session")
def every_bf16() -> Tensor:
    """Every one of the 65,536 BF16 values."""
    return torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
