"""WiCSum thresholding: the fewest clusters of a row that carry enough of its weight.

Source: paper, step 4; integer arithmetic, the tie rule, ``k_min`` and ``k_max`` are our decisions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrex import Params

PAPER_BUCKETS = 15
FRACTION_BITS = 16


def select(weights: Tensor, counts: Tensor, params: Params) -> Tensor:
    """Return which clusters each row selects: the sorted definition, [R, C] bool.

    A row's clusters are walked by descending weight, equal weights by ascending number, up to
    and with the first t where t >= k_max, or t >= k_min and Acc(t) > ratio * Sum; never reached:
    all of them.

    ``weights`` [R, C]: integers 0 to 65535 give the exact arithmetic, float32 the float one
    (sums in float64). ``counts`` [C] or [R, C] integers, tokens of each cluster, 0 to 65535.
    """
    clusters = weights.shape[1]
    if clusters == 0:
        return torch.zeros_like(weights, dtype=torch.bool)
    order = torch.sort(weights, dim=1, descending=True, stable=True).indices
    mass = _mass(weights, counts).gather(1, order)
    accumulated = mass.cumsum(1)
    walked = torch.arange(1, clusters + 1, device=weights.device)
    enough = accumulated > _threshold(accumulated[:, -1:], params)
    stop = (walked >= params.k_min) & enough
    if params.k_max is not None:
        stop |= walked >= params.k_max
    taken = stop.long().cumsum(1) - stop.long() == 0
    return torch.zeros_like(taken).scatter(1, order, taken)


def _mass(weights: Tensor, counts: Tensor) -> Tensor:
    """Return weight * count: int64 (2^47 and less even for 2^31 tokens), or float64."""
    wide = torch.float64 if weights.is_floating_point() else torch.int64
    return weights.to(wide) * counts.to(wide)


def _threshold(total: Tensor, params: Params) -> Tensor:
    """Return the least whole Th for which Acc > Th is Acc * 65536 > R * Sum.

    That is floor(R * Sum / 65536), taken in two halves so that it stays in 64 bits.
    """
    if total.is_floating_point():
        return total * params.wicsum_ratio
    ratio, low = params.ratio_fixed, (1 << FRACTION_BITS) - 1
    return ratio * (total >> FRACTION_BITS) + (ratio * (total & low) >> FRACTION_BITS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Buckets:
    """What the paper's scheme does with each row."""

    passes: Tensor
    """[R] int64: buckets visited, each one pass over the row."""
    selected: Tensor
    """[R, C] bool: every cluster of the visited buckets."""


def paper_buckets(weights: Tensor, counts: Tensor, params: Params) -> Buckets:
    """Run the paper's scheme: 15 equal buckets between a row's least and greatest weight.

    One pass a bucket from the top down, exit after the bucket in which Acc > ratio * Sum, which
    is taken whole; no floor and no cap. ``weights`` [R, C] integers with C >= 1, ``counts`` as
    in :func:`select`.
    """
    weights = weights.long()
    low, high = weights.amin(1, keepdim=True), weights.amax(1, keepdim=True)
    from_low = (weights - low) * PAPER_BUCKETS // (high - low).clamp(min=1)
    bucket = PAPER_BUCKETS - 1 - from_low.clamp(max=PAPER_BUCKETS - 1)
    bucket = torch.where(high == low, 0, bucket)
    mass = _mass(weights, counts)
    total = mass.sum(1, keepdim=True)
    sums = torch.zeros(len(weights), PAPER_BUCKETS, dtype=torch.int64)
    accumulated = sums.scatter_add(1, bucket, mass).cumsum(1)
    short = accumulated <= _threshold(total, params)
    passes = (short.sum(1) + 1).clamp(max=PAPER_BUCKETS)
    return Buckets(passes=passes, selected=bucket < passes[:, None])
