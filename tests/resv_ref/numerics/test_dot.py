"""The aligned-sum dot product against integers and fractions in plain Python."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resv_ref.numerics import dot, is_poisoned, matmul

NAN = 0x7FC00000
INF, ONE = 0x7F80, 0x3F80


def bf16(bits):
    """Return the BF16 tensor with these bit patterns."""
    words = torch.as_tensor(bits, dtype=torch.int32)
    return words.to(torch.int16).view(torch.bfloat16)


def bits_of(x):
    return (x.view(torch.int32).to(torch.int64) & 0xFFFFFFFF).tolist()


def decode(word):
    """Return (exponent, signed significand in [128, 255]); None where it is zero."""
    field = word >> 7 & 0xFF
    significand = 0x80 | word & 0x7F
    return (field - 127, -significand if word >> 15 else significand) if field else None


def oracle(a, b, beat, window, nearest, acc=0.0, live=None):
    """Return the dot product's float32 bits, from the BF16 bits of two vectors."""
    live = live or [True] * len(a)
    met = [
        word
        for pair, used in zip(zip(a, b, strict=True), live, strict=True)
        if used
        for word in pair
    ]
    if any(word >> 7 & 0xFF == 0xFF for word in met) or not math.isfinite(acc):
        return NAN
    total = Fraction(acc) if abs(acc) >= 2.0**-126 else Fraction(0)
    for start in range(0, len(a), beat):
        terms = []
        now = slice(start, start + beat)
        for x, y, used in zip(a[now], b[now], live[now], strict=True):
            u, v = decode(x), decode(y)
            if used and u and v:
                exponent = u[0] + v[0]
                terms.append((exponent, u[1] * v[1] * Fraction(2) ** (exponent - 14)))
        if total:
            size = abs(total)
            exponent = size.numerator.bit_length() - size.denominator.bit_length()
            terms.append((exponent - (size < Fraction(2) ** exponent), total))
        if not terms:
            continue
        unit = Fraction(2) ** (max(exponent for exponent, _ in terms) + 2 - window)
        aligned = sum((1 if term > 0 else -1) * (abs(term) // unit) for _, term in terms)
        total = nearest(aligned * unit, 24)
        if total is None:
            return NAN
    return bits_of(torch.tensor([float(total)]))[0]


def check(a, b, nearest, acc=None, live=None, *, beat=64, window=28):
    """Compare ``dot`` of BF16 [rows, d] with the oracle in every bit."""
    got = bits_of(dot(a, b, acc, live, beat=beat, window=window))
    words = [(x.view(torch.int16).to(torch.int64) & 0xFFFF).tolist() for x in (a, b)]
    starts = [0.0] * len(a) if acc is None else acc.tolist()
    masks = [None] * len(a) if live is None else live.tolist()
    want = [
        oracle(u, v, beat, window, nearest, start, mask)
        for u, v, start, mask in zip(*words, starts, masks, strict=True)
    ]
    assert [hex(x) for x in got] == [hex(x) for x in want]
    return got


def normal(seed, rows, d, spread=0.0):
    """Return gaussian BF16 [rows, d]; exponents wander by ``spread`` octaves."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, d, generator=rng)
    return (x * torch.exp2(spread * torch.randn(rows, d, generator=rng))).bfloat16()


@pytest.mark.parametrize("d", [1, 2, 7, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("window", [28, 16])
def test_gaussian(d, window, nearest):
    check(normal(d, 8, d), normal(d + 1, 8, d), nearest, window=window)


@pytest.mark.parametrize("window", range(8, 32))
def test_every_window(window, nearest):
    check(normal(1, 4, 96, 6), normal(2, 4, 96, 6), nearest, window=window)


@pytest.mark.parametrize("beat", [1, 2, 3, 16, 100, 4096])
def test_every_beat(beat, nearest):
    check(normal(3, 4, 130, 4), normal(4, 4, 130, 4), nearest, beat=beat)


@pytest.mark.parametrize("low,high", [(0, 0xFFFF), (0x0000, 0x0900), (0x3000, 0x5000)])
def test_random_bits(low, high, nearest):
    rng = torch.Generator().manual_seed(low)
    words = torch.randint(low, high + 1, (2, 60, 70), generator=rng)
    words = torch.where(words >> 7 & 0xFF == 0xFF, words & 0xBFFF, words)
    words |= torch.randint(0, 2, words.shape, generator=rng) << 15
    check(bf16(words[0]), bf16(words[1]), nearest)


def test_cancellation(nearest):
    a, b = normal(5, 20, 32, 3), normal(6, 20, 32, 3)
    nearly = normal(7, 20, 32, 3) * (torch.rand(20, 32) < 0.1)
    a = torch.cat([a, a[:, torch.randperm(32)]], 1)
    b = torch.cat([b, nearly - b], 1)
    check(a, b, nearest)
    check(a, b, nearest, beat=24)
    exact = torch.cat([a[:, :32], a[:, :32]], 1), torch.cat([b[:, :32], -b[:, :32]], 1)
    assert set(check(*exact, nearest)) == {0}, "what cancels is +0"


def test_one_huge_term_hides_small_ones(nearest):
    """Each small product lies below the window, so it is dropped before it is added."""
    a = torch.ones(1, 64).bfloat16()
    a[0, 10] = 2.0**27
    assert dot(a, torch.ones_like(a)).item() == 2.0**27
    a[0, 10] = 2.0**26
    assert dot(a, torch.ones_like(a)).item() == 2.0**26 + 64, "the last bit of the window"
    for k in range(20, 32):
        a[0, 10] = -(2.0**k)
        check(a, torch.ones_like(a), nearest)
        check(a, torch.full_like(a, 1.6), nearest, beat=8)


def test_truncation_is_toward_zero_for_both_signs():
    a = torch.tensor([[2.0**20, 1.75 * 2.0**-7], [2.0**20, -1.75 * 2.0**-7]]).bfloat16()
    b = torch.ones_like(a)
    b[:, 0] = 0.0078125
    top = 2.0**13
    got = dot(a, b, window=21)
    assert got.tolist() == [top + 2.0**-7 * 0, top], "unit 2^-6: the small term is dropped"
    got = dot(a, b, window=22)
    assert got.tolist() == [top + 2.0**-7, top - 2.0**-7], "unit 2^-7: its first bit is kept"


def test_all_subnormal_inputs_are_zero(nearest):
    a = bf16([[0x0001, 0x807F, 0x0040, 0x8000]])
    assert check(a, bf16([[0x7F7F, 0x7F7F, 0xFF7F, ONE]]), nearest) == [0]
    assert check(a, a, nearest) == [0]


def test_subnormal_results_are_positive_zero(nearest):
    """An IEEE rounding comes first: what rounds up to 2^-126 is normal and stays."""
    a = torch.tensor([[2.0**-63, 2.0**-75]] * 3 + [[2.0**-63, -(2.0**-64)]]).bfloat16()
    b = torch.tensor(
        [
            [2.0**-63, -(2.0**-75)],  # 2^-126 - 2^-150: a tie, to 2^-126
            [2.0**-63, -(2.0**-74)],  # 2^-126 - 2^-149: subnormal
            [-(2.0**-64), 0.0],
            [2.0**-63, 2.0**-63],
        ]
    ).bfloat16()
    assert check(a, b, nearest) == [0x00800000, 0, 0, 0]


def test_non_finite_inputs_poison_their_own_result_only(nearest):
    a, b = normal(8, 6, 100), normal(9, 6, 100)
    a[1, 99] = torch.inf
    b[2, 0] = torch.nan
    a[3, 70], b[3, 70] = -torch.inf, 0.0
    a[4, 3], b[4, 3] = torch.inf, bf16(0x0001)
    got = check(a, b, nearest)
    assert [word == NAN for word in got] == [False, True, True, True, True, False]
    assert is_poisoned(dot(a, b)).tolist() == [False, True, True, True, True, False]


def test_overflow_is_poison_however_it_is_cut_into_beats(nearest):
    huge = 2.0**64
    a = torch.zeros(4, 128).bfloat16()
    a[:, :2] = huge
    b = torch.zeros(4, 128).bfloat16()
    b[:, :2] = huge / 2
    b[1, 0] = -huge / 2
    b[2, 1], a[2, 64], b[2, 64] = huge, huge, -huge
    b[3, :2] = -huge / 2
    got = check(a, b, nearest)
    assert got == [NAN, 0, NAN, NAN], "terms past the range may cancel inside a beat, only there"
    largest = bf16([[0x7F7F]])
    assert check(largest, torch.ones(1, 1).bfloat16(), nearest) == [0x7F7F0000]


@pytest.mark.parametrize("beat,window", [(64, 28), (16, 20), (7, 30)])
def test_an_accumulator_is_one_more_term_of_the_first_beat(beat, window, nearest):
    a, b = normal(21, 60, 40, 4), normal(22, 60, 40, 4)
    acc = torch.randn(60, generator=torch.Generator().manual_seed(23)) * 1000
    acc[10:20] *= torch.exp2(torch.arange(-50.0, 50.0, 10.0))
    acc[:6] = torch.tensor([0.0, -0.0, 1e-40, 3e38, -1e38, 2.0**-126])
    check(a, b, nearest, acc, beat=beat, window=window)
    got = check(a[:3], b[:3], nearest, torch.tensor([math.nan, math.inf, 1.0]), beat=beat)
    assert got[:2] == [NAN, NAN] and got[2] != NAN
    nothing = torch.zeros(60, 4).bfloat16()
    alone = dot(nothing, nothing, acc, beat=beat, window=window)
    whole = torch.where(acc.abs() < 2.0**-126, 0.0, acc)
    assert torch.equal(alone, whole) == (window > 24), "a narrow window cuts even what is alone"


def test_a_beat_after_another_goes_on_from_its_result():
    a, b = normal(24, 50, 128, 5), normal(25, 50, 128, 5)
    first = dot(a[:, :64], b[:, :64])
    assert torch.equal(dot(a[:, 64:], b[:, 64:], first), dot(a, b))


def test_a_dead_product_is_not_there(nearest):
    """Not even where it is NaN, infinite, or far above all others."""
    a, b = normal(26, 200, 24, 3), normal(27, 200, 24, 3)
    live = torch.rand(200, 24, generator=torch.Generator().manual_seed(28)) < 0.7
    live[:3] = torch.tensor([[False], [True], [False]])
    for x, words in ((a, (0x7F80, 0xFFC1, 0x7F7F)), (b, (0xFF80, 0x7FC0, 0x7F00))):
        for k, word in enumerate(words):
            x[:, 5 * k : 5 * k + 2] = bf16(word)
    acc = torch.arange(200).float()
    got = check(a, b, nearest, acc, live, beat=9)
    assert got[0] == 0 and got[1] == NAN and got[2] == bits_of(acc[2:3])[0]
    assert 20 < sum(word == NAN for word in got) < 200


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)), max_size=40),
    st.integers(1, 20),
    st.integers(8, 31),
)
@example([(INF, 0)], 1, 28)
@example([(0x7F7F, 0x7F7F), (0x7F7F, 0xFF7F)], 1, 28)
def test_any_bits(nearest, pairs, beat, window):
    a, b = (bf16([[pair[i] for pair in pairs]]) for i in range(2))
    check(a, b, nearest, beat=beat, window=window)


def test_order_matters_between_beats_and_not_inside():
    a, b = normal(10, 50, 128, 5), normal(11, 50, 128, 5)
    inside = torch.cat([torch.randperm(64), 64 + torch.randperm(64)])
    across = torch.randperm(128)
    assert torch.equal(dot(a, b), dot(a[:, inside], b[:, inside]))
    assert not torch.equal(dot(a, b), dot(a[:, across], b[:, across]))


def test_zeros_pad_a_beat():
    a, b = normal(12, 10, 100, 3), normal(13, 10, 100, 3)
    pad = torch.zeros(10, 28).bfloat16()
    assert torch.equal(dot(a, b), dot(torch.cat([a, pad], 1), torch.cat([b, pad], 1)))


@pytest.mark.parametrize(
    "left,right",
    [
        ((3, 64), (5, 64)),
        ((1, 128), (700, 128)),
        ((70, 16), (70, 16)),
        ((2, 3, 5, 40), (2, 1, 301, 40)),
        ((300, 1, 4), (2, 4)),
        ((600, 2, 80), (600, 3, 80)),
        ((0, 8), (4, 8)),
        ((3, 8), (0, 8)),
        ((2, 0), (3, 0)),
    ],
)
def test_matmul_is_dot_of_every_pair(left, right):
    rng = torch.Generator().manual_seed(14)
    a = torch.randn(left, generator=rng).bfloat16()
    b = torch.randn(right, generator=rng).bfloat16()
    got = matmul(a, b, beat=32, window=20)
    want = dot(a[..., :, None, :], b[..., None, :, :], beat=32, window=20)
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


def test_matmul_takes_accumulators_and_masks():
    """A non-finite element of b poisons just the rows in which it is live."""
    rng = torch.Generator().manual_seed(29)
    a = torch.randn(2, 30, 20, generator=rng).bfloat16()
    b = torch.randn(2, 17, 20, generator=rng).bfloat16()
    acc = torch.randn(2, 30, 17, generator=rng)
    live = torch.rand(2, 30, 20, generator=rng) < 0.8
    for bad in (False, True):
        if bad:
            a[0, 3, 4], b[1, 5, 6], b[0, 2, 19], acc[1, 1, 1] = (
                math.inf,
                math.nan,
                -math.inf,
                math.nan,
            )
        got = matmul(a, b, acc, live, beat=8, window=24)
        pairs = a[..., :, None, :], b[..., None, :, :]
        want = dot(*pairs, acc, live[..., None, :], beat=8, window=24)
        assert bits_of(got.flatten()) == bits_of(want.flatten())
        assert bool(got.isnan().any()) == bad
    assert bool(got[1, ~live[1, :, 6], 5].isfinite().all())
    assert bool(got[1, live[1, :, 6], 5].isnan().all())


def test_matmul_takes_views():
    a, b = normal(15, 64, 9).mT, normal(16, 64, 11).mT
    assert not a.is_contiguous()
    assert torch.equal(matmul(a, b), matmul(a.contiguous(), b.contiguous()))


@pytest.mark.parametrize("spread,mean", [(0.0, 4e-9), (2.0, 1.2e-8)])
def test_accuracy(spread, mean):
    """Error over sum |a b|: at most 2e-7 (the specification's figure)."""
    a, b = normal(17, 400, 128, spread), normal(18, 50, 128, spread)
    exact = a.double() @ b.double().mT
    error = (matmul(a, b).double() - exact).abs() / (a.double().abs() @ b.double().abs().mT)
    assert error.mean() < mean
    assert error.max() < 2e-7


def test_refusals():
    a = torch.ones(2, 4).bfloat16()
    with pytest.raises(ValueError, match=r"b is torch\.float32"):
        dot(a, a.float())
    with pytest.raises(ValueError, match=r"acc is torch\.float64"):
        matmul(a, a, torch.zeros(2, 2).double())
    with pytest.raises(ValueError, match="length 4 and b 3"):
        matmul(a, a[:, :3])
    with pytest.raises(ValueError, match="beat is 0"):
        dot(a, a, beat=0)
    with pytest.raises(ValueError, match="window is 7"):
        dot(a, a, window=7)
