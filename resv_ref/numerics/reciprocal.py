"""1 / x of a float32, by table and interpolation on its mantissa.

The datapath (U0.n: an unsigned fraction of n bits): of the 23 stored bits of the mantissa m in
[1, 2), 7 address the table and 16 are r; the quadratic gives y = 1 / m as U0.28, from c0 U0.28,
c1 U0.22 and c2 U0.14; y, above 0.5, is rounded to 24 bits, to nearest even, and the exponent is
negated. A power of two is inverted exactly, and the result never rises as m does.

Error against the exact 1 / x, in units of the last place: the quadratic costs 0.25, its
coefficients and shifts 0.07 and the rounding 0.5: 0.82 in all. Source: docs/numerics.md;
the widths are our decision.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.table import quadratic
from vrex.tables import RECIPROCAL


def reciprocal(x: Tensor) -> Tensor:
    """Return 1 / x, float32 like ``x``, within 0.82 units in the last place of the exact value.

    A zero or subnormal ``x``, or a non-finite one, gives the canonical NaN; a result below
    2^-126 is zero of the sign of ``x``. Raises ValueError for another dtype.
    """
    fp32.require(x, torch.float32, "x")
    bits = x.view(torch.int32).to(torch.int64)
    field = (bits >> 23) & 0xFF
    y = quadratic(RECIPROCAL, bits & 0x7FFFFF).double()
    # y times a power of two is exact in float64, so the cast to float32 is the one rounding.
    y = y * fp32.power_of_two(fp32.BIAS - field - RECIPROCAL.y_bits)
    result = fp32.flush(y.to(torch.float32).copysign(x))
    return fp32.canonical(torch.where((field == 0) | (field == 0xFF), torch.nan, result))
