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
"""Products computed together: they stay in the processor's cache, and torch keeps operations of
this size on one core, which beats two cores that wait for each other."""


def dot(a: Tensor, b: Tensor, *, beat: int = BEAT, window: int = WINDOW) -> Tensor:
    """Return the dot products of the last dimension, float32 [...].

    ``a``, ``b``: bfloat16 [..., d], broadcast against each other; ``beat``: 1 to 4096 products;
    ``window``: 8 to 31 bits. A zero or subnormal result is +0. A non-finite input, or an
    overflow after any beat, gives the canonical NaN (:func:`~resv_ref.numerics.is_poisoned`).
    Within a beat the order of the terms has no effect. Raises ValueError for other dtypes,
    lengths or bounds.
    """
    _check(a, b, beat, window)
    a, b = torch.broadcast_tensors(a, b)
    shape, d = a.shape[:-1], a.shape[-1]
    results = math.prod(shape)
    a, b = a.reshape(results, d), b.reshape(results, d)
    out = torch.empty(results, dtype=torch.float32, device=a.device)
    step = max(1, _TILE // max(d, 1))
    for i in range(0, results, step):
        tile = slice(i, i + step)
        out[tile] = _accumulate(_terms(a[tile].mT), _terms(b[tile].mT), beat, window)
    return out.reshape(shape)


def matmul(a: Tensor, b: Tensor, *, beat: int = BEAT, window: int = WINDOW) -> Tensor:
    """Return ``a b^T``, float32 [..., M, N], every element as :func:`dot` has it.

    ``a``: bfloat16 [..., M, d]; ``b``: bfloat16 [..., N, d]; leading dimensions broadcast. Works
    in tiles, so memory beyond inputs and result is bounded. Raises ValueError as :func:`dot`.
    """
    _check(a, b, beat, window)
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    (m, d), n = a.shape[-2:], b.shape[-2]
    matrices = math.prod(batch)
    a = a.expand(*batch, m, d).reshape(matrices, m, d)
    b = b.expand(*batch, n, d).reshape(matrices, n, d)
    out = torch.empty(matrices, m, n, dtype=torch.float32, device=a.device)
    results = max(1, _TILE // max(min(d, beat), 1))
    # A tile's operands are no larger than its products, or they would wake the other cores.
    columns = max(1, min(n, _TILE // max(d, 1)))
    rows = max(1, min(m, results // columns))
    stack = max(1, min(results // (rows * columns), _TILE // max(d * columns, 1)))
    for s in range(0, matrices, stack):
        for j in range(0, n, columns):
            right = _terms(b[s : s + stack, None, j : j + columns].movedim(-1, 0))
            for i in range(0, m, rows):
                left = _terms(a[s : s + stack, i : i + rows, None].movedim(-1, 0))
                part = _accumulate(left, right, beat, window)
                out[s : s + stack, i : i + rows, j : j + columns] = part
    return out.reshape(*batch, m, n)


def _check(a: Tensor, b: Tensor, beat: int, window: int) -> None:
    fp32.require(a, torch.bfloat16, "a")
    fp32.require(b, torch.bfloat16, "b")
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a has length {a.shape[-1]} and b {b.shape[-1]}: they must be the same")
    if not 1 <= beat <= 4096:
        raise ValueError(f"beat is {beat}: it must be from 1 to 4096")
    if not 8 <= window <= 31:
        raise ValueError(f"window is {window}: it must be from 8 to 31")


class _Terms(NamedTuple):
    """BF16 numbers taken apart, [d, ...]: what is zero, subnormal or non-finite has value 0."""

    value: Tensor
    """float64."""
    exponent: Tensor
    """int16, far below any other for a zero."""
    poison: Tensor
    """bool [...]: a vector with a non-finite element."""


def _terms(x: Tensor) -> _Terms:
    x = x.contiguous()
    field = (x.view(torch.int16) >> 7) & 0xFF
    zero = (field == 0) | (field == 0xFF)
    return _Terms(
        torch.where(zero, 0.0, x.to(torch.float64)),
        torch.where(zero, _ZERO_EXPONENT, field - fp32.BIAS),
        (field == 0xFF).any(0),
    )


def _accumulate(a: _Terms, b: _Terms, beat: int, window: int) -> Tensor:
    """Return the dot products over dimension 0, for ``a`` and ``b`` that broadcast.

    A poisoned vector starts from NaN, and so does the beat after an overflow: it stays.
    """
    total = torch.where(a.poison | b.poison, torch.nan, torch.zeros((), dtype=torch.float32))
    for k in range(0, a.value.shape[0], beat):
        now = slice(k, k + beat)
        largest = (a.exponent[now] + b.exponent[now]).amax(0)
        largest = torch.maximum(largest, _exponent(total)).clamp_(min=_LEAST_EXPONENT)
        scale = _power_of_two(window - 2 - largest)
        terms = (a.value[now] * b.value[now]).mul_(scale).to(torch.int32)
        total = total.double() * scale
        # Not torch.trunc: it wakes the thread pool for the smallest tensor.
        aligned = total.abs().floor_().copysign_(total).add_(terms.sum(0))
        total = _round(aligned.div_(scale))
    return total


def _exponent(total: Tensor) -> Tensor:
    """Return the exponents (int16) of normal or zero float32 values."""
    exponent = ((total.view(torch.int32) >> 23) & 0xFF).to(torch.int16) - fp32.BIAS
    return torch.where(total == 0, _ZERO_EXPONENT, exponent)


def _power_of_two(exponent: Tensor) -> Tensor:
    """Return 2^exponent in float64 from its bits: torch's own power may be inexact."""
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def _round(x: Tensor) -> Tensor:
    """Round float64 to float32, to nearest even: subnormal is +0, overflow NaN."""
    y = x.to(torch.float32)
    return fp32.canonical(torch.where(y.abs() < fp32.SMALLEST_NORMAL, 0.0, y))
