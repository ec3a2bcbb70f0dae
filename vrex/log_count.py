"""Logarithms of token counts: what the logit of a stand-in for so many tokens gets.

Made in decimal arithmetic of 40 digits, like :mod:`vrex.tables`, so every machine has the same
ones; the hardware would hold those of 1 to ``cluster_cap`` in a memory. Source: docs/numerics.md;
our decision.
"""

from decimal import Context, Decimal, localcontext
from functools import cache

FRACTION_BITS = 23
"""Bits of a float32 behind its leading one."""


@cache
def log2_count(count: int) -> float:
    """Return the float32 nearest log2(``count``), as a Python float.

    Powers of two have theirs exactly, the other logarithms are irrational: there are no ties.
    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}: it must be 1 or more")
    whole = count.bit_length() - 1
    # The leading one of the logarithm is that of its whole part; a 0 has none.
    unit = 1 << FRACTION_BITS + 1 - max(1, whole.bit_length())
    with localcontext(Context(prec=40)):
        return round(Decimal(count).ln() / Decimal(2).ln() * unit) / unit
