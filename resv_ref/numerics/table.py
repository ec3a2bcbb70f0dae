"""Piecewise quadratics in fixed point: the one datapath behind exp2 and the reciprocal.

The argument is a fraction of ``index + low`` bits: the high ``index`` bits pick a row of three
coefficients, the low ones are r. With every coefficient and r an unsigned integer, and for a
falling, convex function

    y = c0 - ((r * (c1 - ((c2 * r) >> s2))) >> s1)

in units of 2^-y_bits: two multipliers, two subtractions, both shifts truncate, and no value is
ever negative. Coefficients come from decimal arithmetic of 40 digits, so every machine has the
same ones. Source: docs/numerics.md asks for table and interpolation; the scheme is our decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """A table of 2^index quadratics over [0, 1), with every width of its datapath.

    Each passes through the function at the three Chebyshev nodes of its interval.
    """

    function: Callable[[Decimal], Decimal]
    """What is tabulated: positive, falling and convex on [0, 1]."""
    index: int
    """High bits of the argument, which address the table."""
    low: int
    """Low bits of the argument, r."""
    y_bits: int
    """Fraction bits of c0 and of the result."""
    c1_bits: int
    """Fraction bits of c1 and of the inner difference."""
    c2_bits: int
    """Fraction bits of c2."""

    @cached_property
    def rows(self) -> tuple[tuple[int, int, int], ...]:
        """The coefficients (c0, c1, c2) of every interval, as the hardware's memory holds them."""
        with localcontext(Context(prec=40)):
            return tuple(self._fit(i) for i in range(1 << self.index))

    def _fit(self, i: int) -> tuple[int, int, int]:
        h = Decimal(1) / (1 << self.index)
        left = i * h
        spread = Decimal(3).sqrt() / 4 * h
        x0, x1, x2 = h / 2 - spread, h / 2, h / 2 + spread
        f0, f1, f2 = (self.function(left + x) for x in (x0, x1, x2))
        slope = (f1 - f0) / (x1 - x0)
        curve = ((f2 - f1) / (x2 - x1) - slope) / (x2 - x0)
        c0 = f0 - slope * x0 + curve * x0 * x1
        c1 = curve * (x0 + x1) - slope
        return (
            round(c0 * (1 << self.y_bits)),
            round(c1 * (1 << self.c1_bits)),
            round(curve * (1 << self.c2_bits)),
        )

    @cached_property
    def widths(self) -> tuple[int, int, int]:
        """Bits of c0, c1 and c2: the widths of the memory's columns."""
        c0, c1, c2 = (max(column).bit_length() for column in zip(*self.rows, strict=True))
        return c0, c1, c2

    def __call__(self, fraction: Tensor) -> Tensor:
        """Return the function of ``fraction * 2^-(index + low)`` in units of 2^-y_bits.

        ``fraction``: int64 of any shape, 0 to 2^(index + low) - 1; the result is int64.
        """
        argument = self.index + self.low
        table = torch.tensor(self.rows, device=fraction.device)
        c0, c1, c2 = table[fraction >> self.low].unbind(-1)
        r = fraction & ((1 << self.low) - 1)
        inner = c1 - ((c2 * r) >> (self.c2_bits + argument - self.c1_bits))
        return c0 - ((r * inner) >> (self.c1_bits + argument - self.y_bits))
