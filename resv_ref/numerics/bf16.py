"""BF16, the format of every key, query and value: rounding to it, and reading it.

Subnormals are zero on the way in and out, and the only non-finite value that is produced is the
canonical NaN. Source: docs/numerics.md.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32

CANONICAL_NAN = 0x7FC0
"""Bits of the only BF16 NaN that is ever produced."""


def to_bf16(x: Tensor) -> Tensor:
    """Round float32 ``x`` to bfloat16, to nearest even.

    A subnormal becomes zero of its sign; a non-finite value, or one that rounds past the largest
    finite BF16, becomes the canonical NaN. Raises ValueError for another dtype.
    """
    fp32.require(x, torch.float32, "x")
    rounded = fp32.flush(x).to(torch.bfloat16)
    # The cast's vector path writes NaN as 0xFFFF: the canonical bits are set here.
    nan = torch.tensor(CANONICAL_NAN, dtype=torch.int16, device=x.device).view(torch.bfloat16)
    return torch.where(rounded.isfinite(), rounded, nan)


def from_bf16(x: Tensor) -> Tensor:
    """Widen bfloat16 ``x`` to float32, exactly; subnormals are zero, non-finite values NaN.

    Raises ValueError for another dtype.
    """
    fp32.require(x, torch.bfloat16, "x")
    return fp32.canonical(fp32.flush(x.to(torch.float32)))
