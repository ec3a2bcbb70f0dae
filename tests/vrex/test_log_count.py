"""Logarithms of counts: correctly rounded float32, on every machine."""

import math
import struct
from decimal import Context, Decimal, localcontext

import pytest

from vrex.log_count import log2_count


def nearest(count):
    """Try the float32 numbers around the double's logarithm; 60 digits tell the nearest one."""
    (bits,) = struct.unpack("<I", struct.pack("<f", math.log2(count)))
    near = [struct.unpack("<f", struct.pack("<I", max(0, bits + step)))[0] for step in (-1, 0, 1)]
    with localcontext(Context(prec=60)):
        exact = Decimal(count).log10() / Decimal(2).log10()
        return min(near, key=lambda x: abs(Decimal(x) - exact))


def test_each_is_the_nearest_float32():
    for count in [*range(1, 1025), *range(1025, 65536, 97), 65535]:
        assert log2_count(count) == nearest(count)


def test_powers_of_two_are_exact_and_the_logarithms_rise():
    assert [log2_count(1 << n) for n in range(17)] == list(range(17))
    values = [log2_count(count) for count in range(1, 300)]
    assert values == sorted(set(values))


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_none_of_nothing(count):
    with pytest.raises(ValueError, match=f"count is {count}: it must be 1 or more"):
        log2_count(count)
