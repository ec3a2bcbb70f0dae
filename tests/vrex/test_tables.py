"""The tables of constants: what they tabulate, their widths, and that they never change."""

import hashlib
import math
from decimal import Decimal
from itertools import pairwise

import pytest

from vrex.tables import EXP2, EXP_WEIGHT, LOG2E, LOG2E_BITS, RECIPROCAL, Linear


@pytest.mark.parametrize(
    "table,digest",
    [
        (EXP_WEIGHT, "8e37f756c9a75be6"),
        (RECIPROCAL, "af66a521078b1f53"),
        (EXP2, "22164a0aae5f324e"),
    ],
    ids=["exp_weight", "reciprocal", "exp2"],
)
def test_the_coefficients_never_change(table, digest):
    """They are part of the numerics: the RTL has the same ones."""
    assert hashlib.sha256(repr(table.rows).encode()).hexdigest()[:16] == digest


def test_log2e():
    assert abs(LOG2E - math.log2(math.e) * 2**LOG2E_BITS) < 0.5


def test_widths_are_those_of_the_largest_coefficients():
    assert EXP_WEIGHT.widths == (28, 24, 14)
    assert RECIPROCAL.widths == (28, 22, 14)
    assert EXP2.widths == (18, 12)


def test_chords_meet_and_never_rise():
    """Each ends where the next begins; the last one ends at 2^-1, the least that y may be."""
    rows = EXP2.rows
    assert len(rows) == 64
    assert rows[0][0] == (1 << 18) - 1, "a 1 is cut"
    for (c0, c1), (following, _) in zip(rows, [*rows[1:], (1 << 17, 0)], strict=True):
        assert c0 - c1 == following and c1 > 0


def test_a_table_of_chords_holds_the_function_at_its_joints():
    table = Linear(function=lambda x: 1 / (1 + x), index=3, low=5, y_bits=20)
    wanted = [round((1 << 20) / (1 + Decimal(i) / 8)) for i in range(9)]
    assert [c0 for c0, _ in table.rows] == [wanted[0] - 1, *wanted[1:8]]
    assert [c1 for _, c1 in table.rows[1:]] == [a - b for a, b in pairwise(wanted[1:])]
