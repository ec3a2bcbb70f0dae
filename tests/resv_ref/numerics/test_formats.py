"""BF16 and float32 operations against exact fractions, and their special cases."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resv_ref.numerics import bf16, fp32, from_bf16, is_poisoned, mean_bf16, to_bf16

NAN = 0x7FC00000
OPERATIONS = {
    fp32.add: lambda a, b: a + b,
    fp32.sub: lambda a, b: a - b,
    fp32.mul: lambda a, b: a * b,
    fp32.div: lambda a, b: a / b if b else None,
}
WORDS = st.integers(0, 0xFFFFFFFF)
EDGES = [0, 1, 0x007FFFFF, 0x00800000, 0x00800001, 0x3F800000, 0x3F7FFFFF, 0x7F7FFFFF, 0x7F800000]
EDGES += [0x7FC00000, 0x7F812345, 0x00FFFFFF, 0x01000000, 0x20000000, 0x1FFFFFFF, 0x5F000000]
EDGES += [word | 0x80000000 for word in EDGES]


def floats(words):
    """Return the float32 tensor with these bit patterns."""
    words = torch.as_tensor(words, dtype=torch.int64)
    return (
        torch.where(words >> 31 == 1, words - (1 << 32), words).to(torch.int32).view(torch.float32)
    )


def bits_of(x):
    kind, mask = (torch.int32, 0xFFFFFFFF) if x.dtype == torch.float32 else (torch.int16, 0xFFFF)
    return (x.view(kind).to(torch.int64) & mask).tolist()


def exact(word):
    """Return a float32 word's value with subnormals as zero, None where it is not finite."""
    field = word >> 23 & 0xFF
    if field == 0xFF:
        return None
    size = ((1 << 23) | word & 0x7FFFFF) * Fraction(2) ** (field - 150) if field else Fraction(0)
    return -size if word >> 31 else size


def test_the_canonical_nan():
    assert bits_of(fp32.canonical(floats(EDGES[8:11]))) == [NAN] * 3
    assert bits_of(to_bf16(floats(EDGES[8:11]).repeat(40))) == [0x7FC0] * 120
    assert bf16.CANONICAL_NAN == 0x7FC0 and fp32.CANONICAL_NAN == NAN
    assert is_poisoned(floats([0, NAN, 0x7F7FFFFF])).tolist() == [False, True, False]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_every_pair_of_edges(operation, nearest):
    a, b = (x.flatten() for x in torch.meshgrid(floats(EDGES), floats(EDGES), indexing="ij"))
    compare(operation, a, b, nearest)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_random_operands(operation, nearest):
    rng = torch.Generator().manual_seed(1)
    words = torch.randint(0, 1 << 32, (2, 4000), generator=rng)
    near = torch.randint(0x3E000000, 0x42000000, (2, 4000), generator=rng)
    a, b = floats(torch.cat([words, near], 1))
    compare(operation, a, b, nearest)


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_any_operands(nearest, x, y):
    for operation in OPERATIONS:
        compare(operation, floats([x]), floats([y]), nearest)


def compare(operation, a, b, nearest):
    """Compare values with the oracle; a zero's sign is IEEE's."""
    got = operation(a, b)
    words = zip(bits_of(a), bits_of(b), bits_of(got), strict=True)
    for x, y, word in words:
        u, v = exact(x), exact(y)
        true = None if u is None or v is None else OPERATIONS[operation](u, v)
        want = None if true is None else nearest(true, 24)
        if want is None:
            assert word == NAN, (hex(x), hex(y))
            continue
        assert exact(word) == want, (hex(x), hex(y))
        if true and want == 0:
            assert word == (0x80000000 if true < 0 else 0), (hex(x), hex(y))
        if operation in (fp32.mul, fp32.div) and want == 0:
            assert word >> 31 == (x ^ y) >> 31, (hex(x), hex(y))


def test_an_exact_zero_sum_is_positive():
    one = torch.ones(1)
    assert bits_of(fp32.add(one, -one)) == [0]
    assert bits_of(fp32.sub(one, one)) == [0]


def test_to_bf16(nearest):
    rng = torch.Generator().manual_seed(2)
    halves = (torch.arange(0, 1 << 16, 13) << 16) | 0x8000
    random = torch.randint(0, 1 << 32, (4000,), generator=rng)
    words = torch.cat([torch.tensor(EDGES), halves, halves - 1, halves + 1, random])
    for word, got in zip(words.tolist(), bits_of(to_bf16(floats(words))), strict=True):
        value = exact(word)
        want = None if value is None else nearest(value, 8)
        if want is None:
            assert got == 0x7FC0, hex(word)
        else:
            assert exact(got << 16) == want and got >> 15 == word >> 31, hex(word)


def test_from_bf16_is_exact(every_bf16):
    for word, got in zip(bits_of(every_bf16), bits_of(from_bf16(every_bf16)), strict=True):
        field = word >> 7 & 0xFF
        assert got == (NAN if field == 0xFF else word << 16 if field else (word & 0x8000) << 16)
    same = from_bf16(every_bf16)
    live = same.isfinite() & (same != 0)
    assert torch.equal(to_bf16(same)[live], every_bf16[live])


def test_mean_is_two_correct_roundings(nearest):
    rng = torch.Generator().manual_seed(3)
    words = torch.randint(0x3C000000, 0x44000000, (6000,), generator=rng)
    words |= torch.randint(0, 2, words.shape, generator=rng) << 31
    words[:100] = torch.randint(0, 0x02000000, (100,), generator=rng)
    count = torch.randint(1, 1 << 16, words.shape, generator=rng)
    count[::2] = count[::2] % 32 + 1
    got = bits_of(mean_bf16(floats(words), count))
    for word, members, mean in zip(words.tolist(), count.tolist(), got, strict=True):
        want = nearest(nearest(exact(word) / members, 24), 8)
        assert exact(mean << 16) == want, (hex(word), members)


def test_mean_on_a_tie_is_a_division():
    """A product with the rounded 1 / count lands beside some of these ties, and flips them."""
    k = torch.arange(128, 255)[:, None]
    count = torch.arange(1, 1 << 12)
    total = ((2 * k + 1) * count).float() / 2
    even = (k + k % 2).float().expand_as(total)
    assert torch.equal(mean_bf16(total, count).float(), even)
    assert not torch.equal(to_bf16(fp32.mul(total, 1 / count.float())).float(), even)


def test_mean_of_a_poisoned_sum_or_of_nothing():
    total = torch.tensor([math.nan, math.inf, 1.0])
    assert bits_of(mean_bf16(total, torch.tensor([2, 2, 0]))) == [0x7FC0] * 3


def test_a_running_sum_is_not_cumsum():
    """Arrival order, one rounding an addition: the oracle is the exact sum of each step."""
    rng = torch.Generator().manual_seed(4)
    keys = torch.randn(300, generator=rng).bfloat16()
    total = torch.zeros(())
    true = Fraction(0)
    for key in from_bf16(keys):
        total = fp32.add(total, key)
        true = Fraction(torch.tensor(float(true + Fraction(key.item()))).item())
    assert Fraction(total.item()) == true


def test_refusals():
    double = torch.ones(1, dtype=torch.float64)
    for operation in OPERATIONS:
        with pytest.raises(ValueError, match=r"b is torch\.float64"):
            operation(torch.ones(1), double)
    with pytest.raises(ValueError, match=r"x is torch\.float64: it must be torch\.float32"):
        to_bf16(double)
    with pytest.raises(ValueError, match=r"x is torch\.float64: it must be torch\.bfloat16"):
        from_bf16(double)


def test_a_power_of_two_is_made_of_its_bits():
    exponents = torch.arange(-1022, 1024)
    assert fp32.power_of_two(exponents).tolist() == [2.0**e for e in range(-1022, 1024)]
