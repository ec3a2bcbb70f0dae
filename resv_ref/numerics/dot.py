"""The aligned-sum dot product of BF16 vectors: the engine's one multiply-accumulate.

A beat of ``beat`` products and the float32 accumulator are aligned to E, the largest exponent
among the non-zero ones (a product's is ea + eb, not normalised), each magnitude is truncated to
a multiple of 2^(E + 2 - window), the signed integers are added, and the sum is rounded once to
float32, to nearest even. Beats follow in the order of the inputs. Source: hardware.md, Numerics
(our decision; the paper has no text on it).

Here everything up to that rounding is exact in float64: a product has 16 significant bits, an
aligned term is an integer below 2^window, and a sum of them stays below 2^53.
"""

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
_TILE = 2048
"""Results computed together: their products in one beat then stay in the processor's cache."""


def dot(a: Tensor, b: Tensor, *, beat: int = BEAT, window: int = WINDOW) -> Tensor:
    """Return the dot products of the last dimension, float32 [...].

    ``a``, ``b``: bfloat16 [..., d], broadcast against each other; ``beat``: 1 to 4096 products;
    ``window``: 8 to 40 bits. A zero or subnormal result is +0. A non-finite input, or an
    overflow after any beat, gives the canonical NaN (:func:`~resv_ref.numerics.is_poisoned`).
    Within a beat the order of the terms has no effect. Raises ValueError for other dtypes,
    lengths or bounds.
    """
    _check(a, b, beat, window)
    a, b = torch.broadcast_tensors(a, b)
    shape, d = a.shape[:-1], a.shape[-1]
    a, b = a.reshape(-1, d), b.reshape(-1, d)
    out = torch.empty(a.shape[0], dtype=torch.float32, device=a.device)
    for i in range(0, a.shape[0], _TILE):
        tile = slice(i, i + _TILE)
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
    a = a.expand(*batch, m, d).reshape(-1, m, d)
    b = b.expand(*batch, n, d).reshape(-1, n, d)
    out = torch.empty(a.shape[0], m, n, dtype=torch.float32, device=a.device)
    columns = max(1, min(n, _TILE // 4))
    rows = max(1, min(m, _TILE // columns))
    stack = max(1, _TILE // (rows * columns))
    for s in range(0, out.shape[0], stack):
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
    if not 8 <= window <= 40:
        raise ValueError(f"window is {window}: it must be from 8 to 40")


def _terms(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return value (float64) and exponent (int16) of bfloat16 ``x``, subnormals as zero."""
    x = x.contiguous()
    field = (x.view(torch.int16) >> 7) & 0xFF
    exponent = torch.where(field == 0, _ZERO_EXPONENT, field - fp32.BIAS)
    return torch.where(field == 0, 0.0, x.to(torch.float64)), exponent


def _accumulate(
    a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], beat: int, window: int
) -> Tensor:
    """Return the dot products over dimension 0 of the terms ``a`` and ``b``, which broadcast.

    Non-finite values need no case of their own: float64 carries them into the sum.
    """
    shape = torch.broadcast_shapes(a[0].shape, b[0].shape)
    total = torch.zeros(shape[1:], dtype=torch.float32, device=a[0].device)
    for k in range(0, shape[0], beat):
        now = slice(k, k + beat)
        largest = torch.maximum((a[1][now] + b[1][now]).amax(0), _exponent(total))
        scale = _power_of_two(window - 2 - largest.clamp(min=_LEAST_EXPONENT))
        terms = (a[0][now] * b[0][now]).mul_(scale).trunc_()
        aligned = terms.sum(0).add_((total.double() * scale).trunc_())
        total = _round(aligned / scale)
    return total


def _exponent(total: Tensor) -> Tensor:
    """Return the exponents (int16) of normal or zero float32 values."""
    exponent = ((total.view(torch.int32) >> 23) & 0xFF).to(torch.int16) - fp32.BIAS
    return torch.where(total == 0, _ZERO_EXPONENT, exponent)


def _power_of_two(exponent: Tensor) -> Tensor:
    """Return 2^exponent in float64 from its bits: torch's own power may be inexact."""
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def _round(x: Tensor) -> Tensor:
    """Round float64 to float32, to nearest even: subnormal is +0, non-finite the one NaN."""
    y = x.to(torch.float32)
    return fp32.canonical(torch.where(y.abs() < fp32.SMALLEST_NORMAL, 0.0, y))
