"""How a row of scores becomes a row of weights: exp, shift_min, relu, and raw.

Scores are float32 [rows, C], NaN where the dot product was poisoned. A non-finite score has
weight 0 and takes no part in a row's maximum or minimum. Source:
docs/algorithm.md, Weights (exp is our decision; raw is the paper's Eq. 1 to the letter, with
shift_min and relu the two readings that keep it from going negative).
"""

import math

import torch
from torch import Tensor

from resv_ref.numerics import fp32
from resv_ref.numerics.exp_weight import LARGEST_WEIGHT, exp_weight
from vrex import Params, UserError


def scale(scores: Tensor, d: int) -> Tensor:
    """Return ``scores / sqrt(d)``: one float32 product with the float32 nearest 1 / sqrt(d).

    ``scores``: float32 of any shape; ``d``: the head dimension, 1 or more.
    """
    if d < 1:
        raise ValueError(f"d is {d}: it must be 1 or more")
    return fp32.mul(scores, torch.tensor(1 / math.sqrt(d), dtype=torch.float32))


def weights(scores: Tensor, params: Params) -> Tensor:
    """Return integer weights, int64 [rows, C] from 0 to 65535, as the hardware has them.

    ``scores``: float32 [rows, C], scaled. ``exp``: :func:`~resv_ref.numerics.exp_weight` of the
    score less its row's maximum. ``shift_min`` and ``relu``: the score less its row's minimum,
    or zero where it is negative, times the power of two that takes the row's largest into
    [32768, 65536), to nearest even and at most 65535. Raises UserError for ``raw``.
    """
    fp32.require(scores, torch.float32, "scores")
    if params.score_map == "raw":
        raise UserError("parameter score_map is 'raw': it has no integer weights, use float")
    if scores.numel() == 0:
        return torch.zeros_like(scores, dtype=torch.int64)
    scores = fp32.canonical(scores)
    if params.score_map == "exp":
        return exp_weight(fp32.sub(scores, _maximum(scores)), params.score_temperature)
    if params.score_map == "shift_min":
        return _normalise(fp32.sub(scores, _minimum(scores)))
    return _normalise(fp32.flush(scores).clamp(min=0))


def weights_float(scores: Tensor, params: Params) -> Tensor:
    """Return float32 weights [rows, C] of any of the four maps, in plain float32.

    ``exp``: exp((score - row maximum) / temperature), 0 to 1; ``shift_min``: score - row
    minimum; ``relu``: max(score, 0); ``raw``: the score itself.
    """
    fp32.require(scores, torch.float32, "scores")
    if scores.numel() == 0:
        return torch.zeros_like(scores)
    scores = fp32.canonical(scores)
    if params.score_map == "exp":
        result = torch.exp((scores - _maximum(scores)) / params.score_temperature)
    elif params.score_map == "shift_min":
        result = scores - _minimum(scores)
    elif params.score_map == "relu":
        result = scores.clamp(min=0)
    else:
        result = scores
    return torch.where(scores.isnan(), 0.0, result)


def _maximum(scores: Tensor) -> Tensor:
    """Return the rows' maxima [rows, 1]; -inf where a row has no finite score."""
    return torch.where(scores.isnan(), -math.inf, scores).amax(-1, keepdim=True)


def _minimum(scores: Tensor) -> Tensor:
    """Return the rows' minima [rows, 1]; inf where a row has no finite score."""
    return torch.where(scores.isnan(), math.inf, scores).amin(-1, keepdim=True)


def _normalise(values: Tensor) -> Tensor:
    """Scale float32 ``values`` [rows, C], 0 or more, to integers by a power of two a row."""
    values = torch.where(values.isnan(), 0.0, values)
    largest = values.amax(-1, keepdim=True)
    # The field of a normal number; float64 holds the scaled values exactly.
    field = (largest.view(torch.int32) >> 23).to(torch.int64)
    power = fp32.power_of_two(15 + fp32.BIAS - field)
    return (values.double() * power).round_().clamp_(max=LARGEST_WEIGHT).to(torch.int64)
