"""Tables of functions in fixed point: the constants behind exp and the reciprocal.

The argument is a fraction of ``index + low`` bits: the high ``index`` bits pick a row of
coefficients, the low ones are r. Coefficients and r are unsigned, no value is ever negative and
every shift truncates; the functions are positive and falling.

Coefficients come from decimal arithmetic of 40 digits, so every machine has the same ones. The
reference (:mod:`resv_ref.numerics`) and the hardware build on the same objects. Source:
docs/numerics.md asks for table and interpolation; the schemes and widths are our decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import cached_property

LOG2E_BITS = 24
LOG2E = 24204406
"""round(log2(e) * 2^24), by which a score less the maximum is multiplied before 2^-t."""


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """A table of 2^index quadratics over [0, 1), with every width of its datapath.

    In units of 2^-y_bits, for a convex function,

        y = c0 - ((r * (c1 - ((c2 * r) >> s2))) >> s1)

    with s2 = c2_bits + index + low - c1_bits and s1 = c1_bits + index + low - y_bits: two
    multipliers and two subtractions. Each passes through the function at the three Chebyshev
    nodes of its interval.
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


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A table of 2^index chords over [0, 1): in units of 2^-y_bits

        y = c0 - ((r * c1) >> low)

    c0 is the function where an interval begins, and c1 how much c0 falls until the next one
    begins, so y never rises from one argument to the next. A 1 is cut to 1 - 2^-y_bits, so that
    y is a plain fraction.
    """

    function: Callable[[Decimal], Decimal]
    """What is tabulated: positive, falling and at most 1 on [0, 1]."""
    index: int
    """High bits of the argument, which address the table."""
    low: int
    """Low bits of the argument, r."""
    y_bits: int
    """Fraction bits of c0, of c1 and of the result."""

    @cached_property
    def rows(self) -> tuple[tuple[int, int], ...]:
        """The coefficients (c0, c1) of every interval, as the hardware's memory holds them."""
        count = 1 << self.index
        with localcontext(Context(prec=40)):
            joints = [self._joint(Decimal(i) / count) for i in range(count + 1)]
        return tuple((joints[i], joints[i] - joints[i + 1]) for i in range(count))

    def _joint(self, x: Decimal) -> int:
        return min(round(self.function(x) * (1 << self.y_bits)), (1 << self.y_bits) - 1)

    @cached_property
    def widths(self) -> tuple[int, int]:
        """Bits of c0 and c1: the widths of the memory's columns."""
        c0, c1 = (max(column).bit_length() for column in zip(*self.rows, strict=True))
        return c0, c1


def _half_to(x: Decimal) -> Decimal:
    return Decimal(2) ** -x


EXP_WEIGHT = Quadratic(function=_half_to, index=6, low=20, y_bits=28, c1_bits=24, c2_bits=16)
"""2^-f for f in [0, 1), for the weights of scores: y is U0.28."""

EXP2 = Linear(function=_half_to, index=6, low=12, y_bits=18)
"""2^-g for g in [0, 1), for the exponentials of attention: y is U0.18, 2^17 or more."""

RECIPROCAL = Quadratic(
    function=lambda x: 1 / (1 + x), index=7, low=16, y_bits=28, c1_bits=22, c2_bits=14
)
"""1 / (1 + f) for f in [0, 1): y is U0.28."""
