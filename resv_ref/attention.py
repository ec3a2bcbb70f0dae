"""Light attention: softmax attention over a row's tokens, tile by tile (paper, step 6).

A row attends a prefix of the tokens, as many as its *limit* says: causality in the current frame
is a prefix too. A token may stand for several, as many as its *count* says: it weighs like so many
of it. :func:`tiles` is the hardware's arithmetic, beat by beat, with everything that crosses a
unit's boundary (counts aside, which the hardware lacks); :func:`light_attention` its end;
:func:`softmax_attention` the definition in float32. Our decision, after the online form of softmax:
scores are in units of log2, and what was added before is rescaled by the power that p is made of,
before its rounding.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from resv_ref import numerics
from resv_ref.numerics import BEAT, WINDOW, fp32
from vrex.log_count import log2_count


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """What one tile of at most ``beat`` tokens, n, does to every row."""

    live: Tensor
    """[..., R, n] bool: tokens of the tile that the row attends."""
    scores: Tensor
    """[..., R, n] float32: z, q . k * log2(e) / sqrt(d), and with counts their log2; NaN from a
    non-finite input."""
    maximum: Tensor
    """[..., R] float32: m, the running maximum after this tile; -inf: none yet."""
    factor: Tensor
    """[..., R] float32, 0 to 1: f, by which the accumulators are multiplied before they grow."""
    p: Tensor
    """[..., R, n] bfloat16: 2^(z - m); what a dead token has is never read."""
    total: Tensor
    """[..., R] float32: l, the running sum of p."""
    output: Tensor
    """[..., R, d] float32: O, the running sum of p times the values."""


def attention_scale(d: int) -> Tensor:
    """Return the float32 nearest log2(e) / sqrt(d), by which a dot product becomes a score."""
    if d < 1:
        raise ValueError(f"d is {d}: it must be 1 or more")
    return torch.tensor(math.log2(math.e) / math.sqrt(d), dtype=torch.float32)


def count_bias(counts: Tensor) -> Tensor:
    """Return the float32 nearest log2 of ``counts``, integers of 1 or more, of the same shape."""
    each, index = counts.unique(return_inverse=True)
    return torch.tensor([log2_count(count) for count in each.tolist()])[index]


def tiles(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    limits: Tensor,
    counts: Tensor | None = None,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> Iterator[Tile]:
    """Yield every tile of ``beat`` tokens, bit for bit as the hardware has them.

    ``q`` [..., R, d], ``k`` and ``v`` [..., N, d] bfloat16; ``limits`` [..., R] integers, how
    many of the N tokens each row attends; ``counts`` [..., N] integers of 1 or more, how many
    tokens each of them stands for (None: one); leading dimensions are equal. For each tile, with
    j over the row's live tokens:

        z_j = dot(q, k_j) * scale              in fp32
        z_j = z_j + log2(count_j)              in fp32, where there are counts
        m'  = max(m, max_j z_j)                a NaN takes no part
        f   = exp2(m - m')                     1 where m was none or the difference is 0, and 0
                                               where it overflows
        p_j = exp2_bf16(z_j - m')              NaN where z_j is NaN or the difference overflows
        l   = beat of p and ones, on l * f     one fp32 product, one aligned sum
        O_c = beat of p and V_c, on O_c * f

    A tile of which a row attends nothing leaves the row as it is. ``window`` and ``beat`` are
    those of :func:`~resv_ref.numerics.dot`. Raises ValueError for shapes and dtypes that do not
    fit.
    """
    _check(q, k, v, limits, counts)
    scale = attention_scale(q.shape[-1])
    bias = None if counts is None else count_bias(counts)[..., None, :]
    rows, n = q.shape[:-1], k.shape[-2]
    maximum = torch.full(rows, -math.inf)
    # l is one more element of the output, whose values are all 1.
    values = pad(v.mT, (0, 0, 0, 1), value=1.0)
    sums = torch.zeros(*rows, values.shape[-2])
    for start in range(0, n, beat):
        now = slice(start, min(start + beat, n))
        live = torch.arange(now.start, now.stop) < limits[..., None]
        dots = numerics.matmul(q, k[..., now, :], beat=beat, window=window)
        scores = fp32.mul(dots, scale)
        if bias is not None:
            # A token's +0 turns -0 into +0, which no p, l or O tells from it.
            scores = fp32.add(scores, bias[..., now])
        before, maximum = maximum, torch.maximum(maximum, _largest(scores, live))
        factor = _factor(before, maximum)
        p = numerics.exp2_bf16(fp32.sub(scores, maximum[..., None]))
        scaled = fp32.mul(sums, factor[..., None])
        grown = numerics.matmul(p, values[..., now], scaled, live, beat=beat, window=window)
        # A window below 25 bits would cut even an accumulator that nothing is added to.
        sums = torch.where(live.any(-1, keepdim=True), grown, sums)
        yield Tile(
            live=live,
            scores=scores,
            maximum=maximum,
            factor=factor,
            p=p,
            total=sums[..., -1],
            output=sums[..., :-1],
        )


def _largest(scores: Tensor, live: Tensor) -> Tensor:
    """Return the largest of the rows' live scores; -inf where there are none."""
    return torch.where(live & ~scores.isnan(), scores, -math.inf).amax(-1)


def _factor(before: Tensor, after: Tensor) -> Tensor:
    """Return 2^(before - after), by which sums on ``before`` become sums on ``after``."""
    fall = fp32.sub(before, after)
    factor = torch.where(fall.isnan(), 0.0, numerics.exp2(fall))
    return torch.where((before == -math.inf) | (fall == 0), 1.0, factor)


def finish(total: Tensor, output: Tensor) -> Tensor:
    """Return the rows' outputs, bfloat16 [..., R, d]: O times the reciprocal of l.

    ``total`` [..., R] and ``output`` [..., R, d] float32, those of the last tile. A row with l
    of 0, which attends nothing, gives +0; a NaN element stays NaN.
    """
    inverse = torch.where(total == 0, 0.0, numerics.reciprocal(total))
    return numerics.to_bf16(fp32.mul(output, inverse[..., None]))


def light_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    limits: Tensor,
    counts: Tensor | None = None,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> Tensor:
    """Return light attention as the hardware has it, bfloat16 [..., R, d].

    Arguments and errors are those of :func:`tiles`. A row that attends nothing gives +0. A
    non-finite query, or an attended non-finite key, makes its row NaN; an attended non-finite
    value makes its element NaN in that row.
    """
    total, output = torch.zeros(q.shape[:-1]), torch.zeros(*q.shape[:-1], v.shape[-1])
    for tile in tiles(q, k, v, limits, counts, beat=beat, window=window):
        total, output = tile.total, tile.output
    return finish(total, output)


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, limits: Tensor, counts: Tensor | None = None
) -> Tensor:
    """Return softmax attention in plain float32, rounded to bfloat16 [..., R, d].

    Arguments and errors are those of :func:`tiles`; a row that attends nothing gives 0.
    """
    _check(q, k, v, limits, counts)
    live = torch.arange(k.shape[-2]) < limits[..., None]
    scores = q.float() @ k.float().mT / math.sqrt(q.shape[-1])
    if counts is not None:
        scores = scores + counts.float().log()[..., None, :]
    p = torch.softmax(scores.masked_fill(~live, -math.inf), -1)
    return torch.where(limits[..., None] > 0, p @ v.float(), 0.0).bfloat16()


def _check(q: Tensor, k: Tensor, v: Tensor, limits: Tensor, counts: Tensor | None) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        fp32.require(tensor, torch.bfloat16, name)
    if k.shape != (*q.shape[:-2], k.shape[-2], q.shape[-1]) or v.shape != k.shape:
        raise ValueError(
            f"q is {list(q.shape)}, k {list(k.shape)} and v {list(v.shape)}: they must be "
            "[..., R, d] and [..., N, d] twice"
        )
    if limits.shape != q.shape[:-1] or limits.is_floating_point():
        raise ValueError(
            f"limits is {list(limits.shape)}, {limits.dtype}: it must be {list(q.shape[:-1])}, "
            "integers"
        )
    if counts is None:
        return
    if counts.shape != k.shape[:-1] or counts.is_floating_point() or (counts < 1).any():
        raise ValueError(
            f"counts is {list(counts.shape)}, {counts.dtype}: it must be {list(k.shape[:-1])}, "
            "integers of 1 or more"
        )
