"""Weights of scores, exp(x / temperature) for x <= 0, through 2^-t in fixed point.

The datapath, in the order of its stages (Um.n: unsigned, m integer and n fraction bits):

    u   U4.26   |x| / temperature, truncated; 16 and above gives weight 0
    L   U1.24   round(log2(e) * 2^24), a constant of 25 bits
    t   U5.26   (u * L) >> 24
    n   5 bits  integer part of t: a right shift
    f   U0.26   fraction of t: 6 bits address the table, 20 are r
    y   U0.28   2^-f by the quadratic: c0 U0.28, c1 U0.24, c2 U0.16 of which 14 bits are used
    w   U16.0   (y + half) >> (12 + n), where half = 2^(11 + n), and 65536 becomes 65535

Error of w against min(65535, 65536 * exp(x / temperature)), in units of w: the rounding gives
0.5, the truncation of u and of t at most 0.0010 and 0.0007, the constant 0.0005, the quadratic
0.0005 and its coefficients and shifts 0.0007: 0.504 in all, and 0.501 measured.
The result never rises as x falls. Source: docs/numerics.md; widths are our decision.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.table import quadratic
from vrex.tables import EXP_WEIGHT, LOG2E, LOG2E_BITS

WEIGHT_BITS = 16
LARGEST_WEIGHT = (1 << WEIGHT_BITS) - 1
"""What a weight of 65536 is cut to."""
FRACTION_BITS = EXP_WEIGHT.index + EXP_WEIGHT.low
"""Fraction bits of u and of t."""
LIMIT = 16
"""From this |x| / temperature on the weight is 0 (it would be 0.007)."""


def exp_weight(x: Tensor, temperature: float = 1.0) -> Tensor:
    """Return min(65535, nearest(65536 * exp(x / temperature))), int64 of the shape of ``x``.

    ``x``: float32, a score less its row's maximum, so 0 or less; a positive value counts as 0
    and a NaN has weight 0. ``temperature``: a power of two. The error bound is in the module's
    text. Raises ValueError for another dtype or temperature.
    """
    fp32.require(x, torch.float32, "x")
    exponent = _exponent_of(temperature)
    # float64 holds every float32 times a power of two; the cast to int64 truncates.
    magnitude = (-fp32.flush(x).double()).clamp(min=0) * 2.0 ** (FRACTION_BITS - exponent)
    counts = magnitude < LIMIT << FRACTION_BITS
    u = torch.where(counts, magnitude, 0.0).to(torch.int64)
    t = (u * LOG2E) >> LOG2E_BITS
    shift = EXP_WEIGHT.y_bits - WEIGHT_BITS + (t >> FRACTION_BITS)
    y = quadratic(EXP_WEIGHT, t & ((1 << FRACTION_BITS) - 1))
    weight = ((y + (1 << (shift - 1))) >> shift).clamp(max=LARGEST_WEIGHT)
    return torch.where(counts, weight, 0)


def _exponent_of(temperature: float) -> int:
    numerator, denominator = float(temperature).as_integer_ratio()
    if numerator <= 0 or numerator & (numerator - 1):
        raise ValueError(f"temperature is {temperature}: it must be a power of two")
    return numerator.bit_length() - denominator.bit_length()
