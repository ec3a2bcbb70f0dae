"""1 / x of a float32, by table and interpolation on its mantissa.

The datapath: the 23 stored bits of the mantissa m in [1, 2) address the table with 7 bits and
leave 16 as r; the quadratic gives y = 1 / m as U1.28 (c0 U1.28, c1 U1.22, c2 U1.14, see
``TABLE.widths``); y, in (0.5, 1], is normalised by at most one place and rounded to 24 bits, to
nearest even; the exponent is negated. A power of two is inverted exactly.

Error against the exact 1 / x: the quadratic costs 2^-26, its coefficients and shifts 2^-26.5
and the rounding 2^-25, so at most 2^-24 of 1 / x. Source: hardware.md, Numerics; widths are our
decision.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.table import Quadratic

TABLE = Quadratic(
    function=lambda x: 1 / (1 + x), index=7, low=16, y_bits=28, c1_bits=22, c2_bits=14
)
"""1 / (1 + f) for f in [0, 1)."""


def reciprocal(x: Tensor) -> Tensor:
    """Return 1 / x, float32 like ``x``, within 2^-24 of the exact value, relative to it.

    A zero or subnormal ``x``, or a non-finite one, gives the canonical NaN; a result below
    2^-126 is zero of the sign of ``x``. Raises ValueError for another dtype.
    """
    fp32.require(x, torch.float32, "x")
    bits = x.view(torch.int32).to(torch.int64)
    field = (bits >> 23) & 0xFF
    y = TABLE(bits & 0x7FFFFF).double()
    # y times a power of two is exact in float64, so the cast to float32 is the one rounding.
    power = ((2 * fp32.BIAS - field - fp32.BIAS - TABLE.y_bits + 1023) << 52).view(torch.float64)
    result = fp32.flush((y * power).to(torch.float32).copysign(x))
    return fp32.canonical(torch.where((field == 0) | (field == 0xFF), torch.nan, result))
