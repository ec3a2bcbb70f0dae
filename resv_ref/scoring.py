"""Scores of the clusters' representatives, and the weights that WiCSum adds up (paper, step 3)."""

import torch
from torch import Tensor

from resv_ref import numerics
from resv_ref.numerics import BEAT, WINDOW
from vrex import Params


def weights(
    queries: Tensor,
    means: Tensor,
    params: Params,
    exact: bool,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> Tensor:
    """Return the weight of every cluster for every row.

    ``queries`` [R, d] and ``means`` [C, d] bfloat16. Exact: [R, C] int64, 0 to 65535, from the
    hardware's dot product, of this ``beat`` and ``window``; float: [R, C] float32. Scores stay
    fp32 up to the weight.
    """
    d = queries.shape[-1]
    if len(means) == 0:
        return torch.zeros(len(queries), 0, dtype=torch.int64 if exact else torch.float32)
    if exact:
        scores = numerics.matmul(queries, means, beat=beat, window=window)
        return numerics.weights(numerics.scale(scores, d), params)
    scores = queries.float() @ means.float().T
    return numerics.weights_float(scores / d**0.5, params)
