"""Binary32 arithmetic as the hardware's engines do it: IEEE rounding, no subnormals, one NaN.

Every operation rounds once to nearest even, takes subnormal operands as zero, turns a subnormal
result into zero of its sign, and answers the canonical NaN for a non-finite operand, an overflow
or a division by zero: there are no infinities. Subnormal means what the IEEE rounding returned,
so a result that rounds up to 2^-126 is kept. Source: docs/numerics.md; that infinities
become NaN is our decision, so that one sticky flag (:func:`is_poisoned`) tells all.
"""

import torch
from torch import Tensor

CANONICAL_NAN = 0x7FC00000
"""Bits of the only NaN that is ever produced."""
SMALLEST_NORMAL = 2.0**-126
"""Smallest magnitude that is not taken as zero."""
BIAS = 127
"""Bias of the exponent field, the same in BF16."""


def require(x: Tensor, dtype: torch.dtype, name: str) -> None:
    """Raise ValueError, naming the argument, unless ``x`` has ``dtype``."""
    if x.dtype != dtype:
        raise ValueError(f"{name} is {x.dtype}: it must be {dtype}")


def flush(x: Tensor) -> Tensor:
    """Return float32 ``x`` with subnormals as zero of their sign."""
    return torch.where(x.abs() < SMALLEST_NORMAL, torch.zeros_like(x).copysign(x), x)


def canonical(x: Tensor) -> Tensor:
    """Return float32 ``x`` with every non-finite value as the canonical NaN."""
    nan = torch.tensor(CANONICAL_NAN, dtype=torch.int32, device=x.device).view(torch.float32)
    return torch.where(x.isfinite(), x, nan)


def power_of_two(exponent: Tensor) -> Tensor:
    """Return 2^exponent in float64 from its bits: torch's own power may be inexact.

    ``exponent``: integers from -1022 to 1023.
    """
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def is_poisoned(x: Tensor) -> Tensor:
    """Return, as bool like ``x``, where the sticky non-finite flag is set: where ``x`` is NaN."""
    return x.isnan()


def add(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b (float32, broadcast), rounded to nearest even; an exact zero is +0."""
    a, b = _operands(a, b)
    return canonical(flush(a + b))


def sub(a: Tensor, b: Tensor) -> Tensor:
    """Return a - b (float32, broadcast), rounded to nearest even; an exact zero is +0."""
    a, b = _operands(a, b)
    return canonical(flush(a - b))


def mul(a: Tensor, b: Tensor) -> Tensor:
    """Return a * b (float32, broadcast), rounded to nearest even."""
    a, b = _operands(a, b)
    return canonical(flush(a * b))


def div(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b (float32, broadcast), correctly rounded to nearest even."""
    a, b = _operands(a, b)
    return canonical(flush(a / b))


def _operands(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    require(a, torch.float32, "a")
    require(b, torch.float32, "b")
    return canonical(flush(a)), canonical(flush(b))
