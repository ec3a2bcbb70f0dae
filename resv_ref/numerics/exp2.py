"""2^x of a float32: the exponentials of light attention, as BF16, and its factors.

The datapath, in the order of its stages (Um.n: unsigned, m integer and n fraction bits):

    u   U8.18   |x|, truncated; from 256 on the result is 0, or NaN where x is positive
    t   S9.18   u where x is negative, else -u: -x
    i   9 bits  integer part of t, rounded down, signed
    g   U0.18   fraction of t: 6 bits address the table, 12 are r
    y   U0.18   2^-g by chords: c0 U0.18, c1 U0.18 of which 12 bits are used; 2^17 or more
    p   BF16    y * 2^-i, rounded once to nearest even

A p below 2^-126 before it is rounded is zero, which is all of x <= -126; one that rounds to 2^128
is the canonical NaN. A power of two is exact from -125 to 127, and p never falls as x rises.

Error against the exact 2^x, in units of p's last place: the rounding gives 0.5, the chord
0.0038, its joints and its shift 0.0005 and 0.0010 at most, the truncation of u 0.0007: less than
0.507 in all (0.505 measured). Source: docs/numerics.md; widths are our decision.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.bf16 import to_bf16
from resv_ref.numerics.table import linear
from vrex.tables import EXP2

LIMIT = 256
"""From this |x| on the result does not depend on x's fraction."""
FRACTION_BITS = EXP2.index + EXP2.low
"""Fraction bits of u and t."""


def exp2(x: Tensor) -> Tensor:
    """Return y * 2^-i, 2^x before it is rounded: float32 like ``x``, of 18 significant bits.

    NaN for a non-finite ``x`` and for one whose power overflows; +0 for -126 and below. Raises
    ValueError for another dtype.
    """
    fp32.require(x, torch.float32, "x")
    # float64 holds every float32 times a power of two; the cast to int64 truncates.
    size = fp32.flush(x).double().abs()
    u = (size.clamp(max=LIMIT).nan_to_num() * 2.0**FRACTION_BITS).to(torch.int64)
    t = torch.where(x > 0, -u, u)
    i = t >> FRACTION_BITS
    y = linear(EXP2, t & ((1 << FRACTION_BITS) - 1))
    # Both factors and their product, of 18 bits, are exact in float64; what float32 then rounds
    # is below 2^-126 and stays there, or is infinite, which becomes NaN.
    p = y.double() * fp32.power_of_two(-EXP2.y_bits - i)
    p = torch.where(x.isfinite(), p, torch.nan)
    return fp32.canonical(fp32.flush(p.to(torch.float32)))


def exp2_bf16(x: Tensor) -> Tensor:
    """Return 2^x, bfloat16 like ``x`` (float32), within 0.507 units in the last place.

    NaN, +0 and errors are those of :func:`exp2`.
    """
    return to_bf16(exp2(x))
