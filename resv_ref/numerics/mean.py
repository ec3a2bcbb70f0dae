"""The mean key of a cluster, from its running sum.

The sum itself is :func:`resv_ref.numerics.fp32.add`, key by key in arrival order. Source:
our decision (docs/numerics.md): a true division, as a product with a rounded reciprocal flips
elements.
"""

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.bf16 import to_bf16


def mean_bf16(total: Tensor, count: Tensor) -> Tensor:
    """Return the BF16 mean: float32 ``total / count``, correctly rounded, then to BF16.

    ``total``: float32; ``count``: integers from 1 to 2^24 (exact in float32) that broadcast with
    it, such as [clusters, 1] to [clusters, d]. Both roundings are to nearest even, subnormals
    are zero, and a zero count or a non-finite sum gives the canonical NaN.
    """
    return to_bf16(fp32.div(total, count.to(torch.float32)))
