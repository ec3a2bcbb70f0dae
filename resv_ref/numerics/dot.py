"""The aligned-sum dot product of BF16 vectors: the engine's one multiply-accumulate.

A beat of ``beat`` products and the float32 accumulator are aligned to E, the largest exponent
among the non-zero ones (a product's is ea + eb, not normalised), each magnitude is truncated to
a multiple of 2^(E + 2 - window), the signed integers are added, and the sum is rounded once to
float32, to nearest even. Beats follow in the order of the inputs. Source: docs/numerics.md
(our decision; the paper has no text on it).

Here everything up to that rounding is exact: float64 holds the products (16 significant bits)
and their scaling by powers of two, int32 the aligned terms (below 2^window), int64 their sum.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from resv_ref.numerics import fp32

BEAT = 64
"""Products that are added at once, unless a configuration says otherwise."""
WINDOW = 28
"""Bits that a product or the accumulator keeps once it is aligned."""

_ZERO_EXPONENT = -1024
"""Stands for the exponent of zero: the sum of two is below that of any pair of numbers."""
_LEAST_EXPONENT = -256
"""Below every exponent of a product; keeps the scale of an all-zero beat finite."""
_TILE = 32000
"""Products computed together: torch keeps operations of this size on one core, which beats two
cores that wait for each other."""
_TILE_ALONE = 128000
"""The same where torch has one thread: they stay in the processor's cache."""


def dot(
    a: Tensor,
    b: Tensor,
    acc: Tensor | None = None,
    live: Tensor | None = None,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> Tensor:
    """Return the dot products of the last dimension, float32 [...].

    ``a``, ``b``: bfloat16 [..., d], broadcast against each other; ``beat``: 1 to 4096 products;
    ``window``: 8 to 31 bits. ``acc``, float32 [...], is what the first beat adds to (nothing
    without it); ``live``, bool [..., d], which products take part: the others are as if their
    inputs were not there. A zero or subnormal result is +0. A live non-finite input, a
    non-finite ``acc``, or an overflow after any beat, gives the canonical NaN
    (:func:`~resv_ref.numerics.is_poisoned`). Within a beat the order of the terms has no
    effect. Raises ValueError for other dtypes, lengths or bounds.
    """
    _check(a, b, acc, beat, window)
    a, b = torch.broadcast_tensors(a, b)
    shape, d = a.shape[:-1], a.shape[-1]
    poison = _is_bad(a) | _is_bad(b)
    if live is not None:
        poison, a = poison & live, torch.where(live, a, 0)
    start = _start(poison.any(-1), acc, shape).reshape(-1)
    results = math.prod(shape)
    a, b = a.reshape(results, d), b.reshape(results, d)
    out = torch.empty(results, dtype=torch.float32, device=a.device)
    step = max(1, _tile() // max(d, 1))
    for i in range(0, results, step):
        tile = slice(i, i + step)
        left, right = _terms(a[tile].mT), _terms(b[tile].mT)
        out[tile] = _accumulate(left, right, start[tile], beat, window)
    return out.reshape(shape)


def matmul(
    a: Tensor,
    b: Tensor,
    acc: Tensor | None = None,
    live: Tensor | None = None,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> Tensor:
    """Return ``acc + a b^T``, float32 [..., M, N], every element as :func:`dot` has it.

    ``a``: bfloat16 [..., M, d]; ``b``: bfloat16 [..., N, d]; ``acc``: float32 [..., M, N];
    ``live``: bool [..., M, d], which elements of each row of ``a`` take part; leading dimensions
    broadcast. Works in tiles, so memory beyond inputs and result is bounded. Raises ValueError
    as :func:`dot`.
    """
    _check(a, b, acc, beat, window)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (m, d), n = a.shape[-2:], b.shape[-2]
    matrices = math.prod(batch)
    poison = _poisoned(a, b, live)
    if live is not None:
        a = torch.where(live, a, 0)
    start = _start(poison, acc, (*batch, m, n)).reshape(matrices, m, n)
    a = a.expand(*batch, m, d).reshape(matrices, m, d)
    b = b.expand(*batch, n, d).reshape(matrices, n, d)
    out = torch.empty(matrices, m, n, dtype=torch.float32, device=a.device)
    most = _tile()
    # A tile's operands are no larger than its products, or they would wake the other cores.
    vectors, results = max(1, most // max(d, 1)), max(1, most // max(min(d, beat), 1))
    columns = max(1, min(n, vectors))
    rows = max(1, min(m, results // columns))
    stack = max(1, min(matrices, results // (rows * columns), vectors // columns))
    for s in range(0, matrices, stack):
        for j in range(0, n, columns):
            right = _terms(b[s : s + stack, None, j : j + columns].movedim(-1, 0))
            for i in range(0, m, rows):
                left = _terms(a[s : s + stack, i : i + rows, None].movedim(-1, 0))
                part = slice(s, s + stack), slice(i, i + rows), slice(j, j + columns)
                out[part] = _accumulate(left, right, start[part], beat, window)
    return out.reshape(*batch, m, n)


def _tile() -> int:
    return _TILE_ALONE if torch.get_num_threads() == 1 else _TILE


def check_sizes(beat: int, window: int) -> None:
    """Raise ValueError unless ``beat`` is from 1 to 4096 and ``window`` from 8 to 31."""
    if not 1 <= beat <= 4096:
        raise ValueError(f"beat is {beat}: it must be from 1 to 4096")
    if not 8 <= window <= 31:
        raise ValueError(f"window is {window}: it must be from 8 to 31")


def _check(a: Tensor, b: Tensor, acc: Tensor | None, beat: int, window: int) -> None:
    fp32.require(a, torch.bfloat16, "a")
    fp32.require(b, torch.bfloat16, "b")
    if acc is not None:
        fp32.require(acc, torch.float32, "acc")
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has length {a.shape[-1]} and b {b.shape[-1]}: they must be the same")
    check_sizes(beat, window)


def _is_bad(x: Tensor) -> Tensor:
    return ~x.isfinite()


def _poisoned(a: Tensor, b: Tensor, live: Tensor | None) -> Tensor:
    """Return which elements of ``a b^T`` meet a live non-finite input, bool [..., M, N]."""
    of_a, of_b = _is_bad(a), _is_bad(b)
    if live is None:
        return of_a.any(-1)[..., :, None] | of_b.any(-1)[..., None, :]
    met = (of_a & live).any(-1)[..., :, None]
    # Counts of non-finite elements below 2^24 are exact in float32.
    return met | (live.float() @ of_b.float().mT > 0) if of_b.any() else met


def _start(poison: Tensor, acc: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Return what the first beat adds to: NaN where poisoned, for then it stays so."""
    start = torch.zeros((), device=poison.device) if acc is None else fp32.flush(acc)
    start = torch.where(poison | ~start.isfinite(), torch.nan, start)
    return start.expand(shape)


class _Terms(NamedTuple):
    """BF16 numbers taken apart, [d, ...]: what is zero, subnormal or non-finite has value 0."""

    value: Tensor
    """float64."""
    exponent: Tensor
    """int16, far below any other for a zero."""


def _terms(x: Tensor) -> _Terms:
    x = x.contiguous()
    field = (x.view(torch.int16) >> 7) & 0xFF
    zero = (field == 0) | (field == 0xFF)
    return _Terms(
        torch.where(zero, 0.0, x.to(torch.float64)),
        torch.where(zero, _ZERO_EXPONENT, field - fp32.BIAS),
    )


def _accumulate(a: _Terms, b: _Terms, total: Tensor, beat: int, window: int) -> Tensor:
    """Return ``total`` plus the products of dimension 0, for ``a`` and ``b`` that broadcast.

    A NaN in ``total`` stays, and so does one from an overflow.
    """
    for k in range(0, a.value.shape[0], beat):
        now = slice(k, k + beat)
        largest = (a.exponent[now] + b.exponent[now]).amax(0)
        largest = torch.maximum(largest, _exponent(total)).clamp_(min=_LEAST_EXPONENT)
        scale = fp32.power_of_two(window - 2 - largest)
        terms = (a.value[now] * b.value[now]).mul_(scale).to(torch.int32)
        wide = total.double() * scale
        # Not torch.trunc: it wakes the thread pool for the smallest tensor.
        aligned = wide.abs().floor_().copysign_(wide).add_(terms.sum(0))
        total = _round(aligned.div_(scale))
    return fp32.canonical(total)


def _exponent(total: Tensor) -> Tensor:
    """Return the exponents (int16) of normal or zero float32 values."""
    exponent = ((total.view(torch.int32) >> 23) & 0xFF).to(torch.int16) - fp32.BIAS
    return torch.where(total == 0, _ZERO_EXPONENT, exponent)


def _round(x: Tensor) -> Tensor:
    """Round float64 to float32, to nearest even: subnormal is +0, overflow NaN."""
    y = x.to(torch.float32)
    return fp32.canonical(torch.where(y.abs() < fp32.SMALLEST_NORMAL, 0.0, y))
