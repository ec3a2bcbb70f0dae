"""Light attention against a row at a time in plain loops, its corners, and its accuracy."""

import itertools
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from resv_ref import numerics
from resv_ref.attention import (
    attention_scale,
    count_bias,
    light_attention,
    softmax_attention,
    tiles,
)
from resv_ref.numerics import fp32

NAN, INF = math.nan, math.inf


def row_oracle(
    q: Tensor, k: Tensor, v: Tensor, counts: Tensor | None, beat: int, window: int
) -> Tensor:
    """Attend all of ``k`` and ``v`` [n, d] with one query [d]; integers and floats in Python.

    Every token is live here: what a row does not attend is simply not given.
    """
    sizes = {"beat": beat, "window": window}
    largest: float | None = None
    total, output = 0.0, [0.0] * len(q)
    for start in range(0, len(k), beat):
        keys, values = k[start : start + beat], v[start : start + beat]
        dots = torch.stack([numerics.dot(q, key, **sizes) for key in keys])
        scores = fp32.mul(dots, torch.tensor(math.log2(math.e) / len(q) ** 0.5))
        if counts is not None:
            bias = [math.log2(count) for count in counts[start : start + beat].tolist()]
            scores = fp32.add(scores, torch.tensor(bias))
        before, tops = largest, [z for z in scores.tolist() if not math.isnan(z)]
        largest = max(tops if before is None else [before, *tops], default=None)
        power = torch.tensor(NAN if largest is None else largest)
        p = numerics.exp2_bf16(fp32.sub(scores, power))
        factor = 1.0 if before is None else fallen(float(fp32.sub(torch.tensor(before), power)))
        ones = torch.ones_like(p)
        total = float(numerics.dot(p, ones, times(total, factor), **sizes))
        output = [
            float(numerics.dot(p, values[:, c], times(x, factor), **sizes))
            for c, x in enumerate(output)
        ]
    inverse = torch.zeros(()) if total == 0 else numerics.reciprocal(torch.tensor(total))
    return numerics.to_bf16(fp32.mul(torch.tensor(output), inverse))


def fallen(x: float) -> float:
    """The factor for a maximum that was 2^x of the new one: before any rounding to BF16."""
    if x == 0 or math.isnan(x):
        return 1.0 if x == 0 else 0.0
    return float(numerics.exp2(torch.tensor(x)))


def times(x: float, factor: float) -> Tensor:
    return fp32.mul(torch.tensor(x), torch.tensor(factor))


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    limits: Tensor,
    counts: Tensor | None = None,
    *,
    beat: int = 64,
    window: int = 28,
) -> Tensor:
    """Compare [R, d] queries over [N, d] with the oracle in every bit; return the output."""
    got = light_attention(q, k, v, limits, counts, beat=beat, window=window)
    want = [
        row_oracle(row, k[:n], v[:n], None if counts is None else counts[:n], beat, window)
        for row, n in zip(q, limits.tolist(), strict=True)
    ]
    assert got.dtype == torch.bfloat16
    assert got.view(torch.int16).tolist() == torch.stack(want).view(torch.int16).tolist()
    return got


def stream(seed: int, rows: int, n: int, d: int, sharpness: float = 1.0) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    q = torch.randn(rows, d, generator=g) * sharpness
    return [x.bfloat16() for x in (q, *torch.randn(2, n, d, generator=g))]


@pytest.mark.parametrize("sharpness", [0.3, 3.0, 40.0])
@pytest.mark.parametrize(
    ("n", "d", "beat", "window"),
    [(1, 8, 8, 28), (7, 16, 8, 28), (8, 4, 8, 28), (33, 20, 8, 20), (130, 16, 64, 28)],
)
def test_same_as_a_row_at_a_time(n: int, d: int, beat: int, window: int, sharpness: float) -> None:
    q, k, v = stream(n + d, 6, n, d, sharpness)
    limits = torch.tensor([n, n, 0, 1, n // 2, max(0, n - 1)])
    check(q, k, v, limits, beat=beat, window=window)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(0, 20),
    st.sampled_from([4, 8]),
    st.sampled_from([20, 28]),
    st.integers(0, 60),
    st.sampled_from([None, 2, 40, 65535]),
)
def test_same_as_a_row_at_a_time_on_any_bits(
    seed: int, n: int, beat: int, window: int, octaves: int, most: int | None
) -> None:
    """Exponents far apart; now and then an input that is NaN or infinite; any counts, or none."""
    g = torch.Generator().manual_seed(seed)
    shape, d = (3 + 2 * n), 6
    x = torch.randn(shape, d, generator=g)
    x = x * torch.exp2(octaves * torch.rand(shape, d, generator=g) - octaves / 2)
    bad = torch.rand(shape, d, generator=g)
    x = torch.where(bad < 0.005, NAN, torch.where(bad > 0.995, INF, x)).bfloat16()
    limits = torch.randint(0, n + 1, (3,), generator=g)
    counts = None if most is None else torch.randint(1, most + 1, (n,), generator=g)
    check(x[:3], x[3 : 3 + n], x[3 + n :], limits, counts, beat=beat, window=window)


def test_no_tokens_and_nothing_attended_give_positive_zero() -> None:
    q, k, v = stream(1, 3, 10, 8)
    got = light_attention(q, k, v, torch.zeros(3, dtype=torch.long), beat=4)
    assert not got.view(torch.int16).any()
    none = light_attention(q, k[:0], v[:0], torch.zeros(3, dtype=torch.long), beat=4)
    assert not none.view(torch.int16).any()
    assert not softmax_attention(q, k[:0], v[:0], torch.zeros(3, dtype=torch.long)).any()


def test_one_token_gives_its_value() -> None:
    """Its weight is a BF16 p and l is p: their quotient is 1 but for the reciprocal's rounding."""
    q, k, v = stream(2, 40, 1, 16, 9.0)
    got = check(q, k, v, torch.ones(40, dtype=torch.long))
    assert torch.equal(got, v.expand(40, 16))


def test_equal_scores_give_the_mean() -> None:
    q, k, v = stream(3, 4, 96, 16)
    got = check(q, k[:1].expand(96, 16), v, torch.tensor([96, 64, 2, 1]), beat=32)
    for row, limit in zip(got, (96, 64, 2, 1), strict=True):
        assert torch.allclose(row.float(), v[:limit].float().mean(0), atol=2e-3, rtol=4e-3)


def aligned(scores: list[float], d: int = 4) -> tuple[Tensor, Tensor]:
    """Return a query and keys with these scores, but for rounding; d is a power of four."""
    q, k = torch.zeros(1, d), torch.zeros(len(scores), d)
    q[0, 0] = math.sqrt(d)
    k[:, 0] = torch.tensor(scores) / math.log2(math.e)
    return q.bfloat16(), k.bfloat16()


def test_the_maximum_only_rises_and_rescales_what_was_added() -> None:
    scores = [-9.5, -3.4, 2.4, 2.6, 29.6, 1.0, 29.0, -40.0, 700.0, 3.0, 705.0, 5.0]
    q, k = aligned(scores)
    v = stream(4, 1, 12, 4)[2]
    check(q, k, v, torch.tensor([12]), beat=2)
    seen = list(tiles(q, k, v, torch.tensor([12]), beat=2))
    maxima = [float(t.maximum) for t in seen]
    assert maxima == sorted(maxima) and maxima[3] == maxima[2]
    rises = [math.inf, *(b - a for a, b in itertools.pairwise(maxima))]
    wanted = [1.0, *(2.0**-rise for rise in rises[1:])]
    assert [float(t.factor) for t in seen] == pytest.approx(wanted, rel=2e-5, abs=1e-38)
    assert float(seen[3].factor) == 1.0 and float(seen[4].factor) == 0.0
    assert all(float(t.total) >= 1.0 for t in seen)
    assert seen[3].p[0, 0] > 0.3 and seen[3].p[0, 1] < 1e-20


def test_a_tile_that_underflows_adds_nothing() -> None:
    q, k = aligned([0.0, 1.0, -500.0, -400.0, 0.5, 0.25])
    v = stream(5, 1, 6, 4)[2]
    before, low, after = tiles(q, k, v, torch.tensor([6]), beat=2)
    assert not low.p.any()
    assert torch.equal(low.total, before.total) and torch.equal(low.output, before.output)
    assert after.total > before.total
    check(q, k, v, torch.tensor([6]), beat=2)


def test_the_largest_has_a_p_of_1() -> None:
    q, k = aligned([-0.25, -0.5])
    seen = next(tiles(q, k, k, torch.tensor([2])))
    assert seen.p[0, 0] == 1 and seen.p[0, 1] < 1


def test_huge_scores_choose_their_token() -> None:
    q, k = aligned([1e30, -1e30, 3.0, 2e30, 1.0])
    v = stream(6, 1, 5, 4)[2]
    got = check(q, k, v, torch.tensor([5]), beat=2)
    assert torch.equal(got[0], v[3])


def test_a_rise_beyond_float32_leaves_nothing() -> None:
    """The maximum goes from -2.9e38 to 2.9e38: their difference overflows, the row stays."""
    q, k = aligned([-2e38, 2e38])
    v = stream(7, 1, 2, 4)[2]
    assert torch.equal(check(q, k, v, torch.tensor([2]), beat=1)[0], v[1])
    first, second = tiles(q, k, v, torch.tensor([2]), beat=1)
    assert float(first.maximum) < -2e38 and float(second.maximum) > 2e38
    assert float(second.factor) == 0.0
    assert bool(check(q, k, v, torch.tensor([2]), beat=2).isnan().all()), "in one tile p overflows"


def test_scores_that_overflow_make_the_row_nan() -> None:
    q, k, v = stream(8, 2, 9, 16)
    q[1] = 1e30
    k[4] = 1e30
    got = check(q, k, v, torch.tensor([4, 4]), beat=4)
    assert bool(got.isfinite().all())
    got = check(q, k, v, torch.tensor([9, 9]), beat=4)
    assert got.isnan().all(1).tolist() == [False, True]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_non_finite_input_touches_what_attends_it_and_nothing_else(value: float) -> None:
    q, k, v = stream(9, 5, 20, 8)
    limits = torch.tensor([20, 10, 11, 12, 0])
    wanted = check(q, k, v, limits, beat=8)
    of_q, of_k, of_v = q.clone(), k.clone(), v.clone()
    of_q[0, 3] = of_q[4, 3] = of_k[10, 2] = of_v[11, 5] = value
    rows = torch.zeros(5, 8, dtype=torch.bool)
    for inputs, touched in (
        ((of_q, k, v), rows.index_fill(0, torch.tensor([0]), True)),
        ((q, of_k, v), rows.index_fill(0, torch.tensor([0, 2, 3]), True)),
        (
            (q, k, of_v),
            rows.index_put((torch.tensor([0, 3]), torch.tensor([5, 5])), torch.tensor(True)),
        ),
    ):
        got = check(*inputs, limits, beat=8)
        assert torch.equal(got.isnan(), touched)
        assert torch.equal(got[~touched], wanted[~touched])
        assert set(got[touched].view(torch.int16).tolist()) == {0x7FC0}


@pytest.mark.parametrize("window", [20, 28])
def test_tokens_that_no_row_attends_change_nothing(window: int) -> None:
    q, k, v = stream(10, 6, 40, 8, 4.0)
    limits = torch.tensor([0, 1, 8, 9, 16, 20])
    got = light_attention(q, k, v, limits, beat=8, window=window)
    k[20:], v[20:] = NAN, INF
    assert torch.equal(light_attention(q, k, v, limits, beat=8, window=window), got)
    short = light_attention(q, k[:20], v[:20], limits, beat=8, window=window)
    assert torch.equal(short, got)
    for before, after in pairwise(tiles(q, k, v, limits, beat=8, window=window)):
        dead = ~after.live.any(1)
        assert bool(dead.any())
        for name in ("maximum", "total", "output"):
            assert torch.equal(getattr(after, name)[dead], getattr(before, name)[dead])


def test_leading_dimensions_are_apart() -> None:
    both = [stream(seed, 5, 30, 8) for seed in (11, 12)]
    limits = torch.tensor([[30, 3, 0, 8, 9], [1, 2, 30, 0, 16]])
    q, k, v = (torch.stack(pair) for pair in zip(*both, strict=True))
    got = light_attention(q, k, v, limits, beat=8)
    for head in range(2):
        assert torch.equal(got[head], light_attention(*both[head], limits[head], beat=8))


def test_the_order_inside_a_tile_has_no_effect() -> None:
    q, k, v = stream(13, 8, 64, 16, 3.0)
    limits = torch.full((8,), 64)
    order = torch.cat([32 * t + torch.randperm(32) for t in range(2)])
    got = light_attention(q, k, v, limits, beat=32)
    assert torch.equal(light_attention(q, k[order], v[order], limits, beat=32), got)


def test_the_scale_is_the_nearest_float32() -> None:
    assert float(attention_scale(64)) == float(torch.tensor(math.log2(math.e) / 8))
    with pytest.raises(ValueError, match="d is 0"):
        attention_scale(0)


@pytest.mark.parametrize("sharpness", [0.3, 3.0, 40.0])
def test_counts_of_one_change_nothing_but_the_sign_of_a_zero(sharpness: float) -> None:
    q, k, v = stream(16, 6, 40, 4, sharpness)
    q[0], k[9] = torch.tensor([-1.1e-19, 0, 0, 0]), torch.tensor([1.1e-19, 0, 0, 0])
    limits = torch.tensor([40, 39, 0, 1, 20, 9])
    ones = torch.ones(40, dtype=torch.long)
    zeros = 0
    pairs = zip(tiles(q, k, v, limits, beat=8), tiles(q, k, v, limits, ones, beat=8), strict=True)
    for plain, counted in pairs:
        for name in ("live", "factor", "p", "total", "output"):
            a, b = (getattr(tile, name).contiguous().view(torch.uint8) for tile in (plain, counted))
            assert torch.equal(a, b)
        assert torch.equal(plain.scores, counted.scores)
        zeros += int((plain.scores.signbit() & ~counted.scores.signbit()).sum())
    assert zeros == 1
    for attend in (light_attention, softmax_attention):
        assert torch.equal(attend(q, k, v, limits, ones), attend(q, k, v, limits))


@pytest.mark.parametrize("attend", [light_attention, softmax_attention])
def test_a_count_weighs_like_so_many_copies(attend: Callable[..., Tensor]) -> None:
    q, k, v = stream(17, 50, 40, 16, 3.0)
    counts = torch.randint(1, 33, (40,), generator=torch.Generator().manual_seed(1))
    got = attend(q, k, v, torch.full((50,), 40), counts)
    total = int(counts.sum())
    copies = [x.repeat_interleave(counts, 0) for x in (k, v)]
    wanted = attend(q, *copies, torch.full((50,), total))
    error = (got.float() - wanted.float()).abs()
    assert error.max() < 0.02 and error.mean() < 2e-3
    assert errors(got, q, *copies)[1] < 2e-3
    without = attend(q, k, v, torch.full((50,), 40))
    assert errors(without, q, *copies)[1] > 0.1


def test_counts_that_are_not_attended_have_no_say() -> None:
    q, k, v = stream(18, 3, 20, 8)
    limits, counts = torch.tensor([20, 10, 0]), torch.arange(1, 21)
    got = check(q, k, v, limits, counts, beat=8)
    other = torch.where(torch.arange(20) < 10, counts, 60000)
    assert torch.equal(check(q, k, v, limits, other, beat=8)[1:], got[1:])
    assert not torch.equal(light_attention(q, k, v, limits, other, beat=8)[0], got[0])


def test_counts_of_no_tokens_and_of_leading_dimensions() -> None:
    q, k, v = stream(19, 3, 20, 8)
    none = torch.zeros(3, dtype=torch.long)
    assert not light_attention(q, k[:0], v[:0], none, torch.zeros(0, dtype=torch.long)).any()
    limits = torch.tensor([20, 7, 0])
    counts = torch.stack([torch.arange(1, 21), torch.arange(20, 0, -1)])
    for attend in (light_attention, softmax_attention):
        both = attend(*(torch.stack([x, x]) for x in (q, k, v, limits)), counts)
        for head in range(2):
            assert torch.equal(both[head], attend(q, k, v, limits, counts[head]))


def test_the_bias_is_the_log2_of_the_counts() -> None:
    bias = count_bias(torch.tensor([[1, 2, 3], [32, 65535, 1]]))
    assert bias.dtype == torch.float32
    wanted = [[0.0, 1.0, math.log2(3)], [5.0, math.log2(65535), 0.0]]
    assert torch.equal(bias, torch.tensor(wanted))


def errors(got: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[float, float]:
    p = torch.softmax(q.double() @ k.double().mT / math.sqrt(q.shape[-1]), -1)
    error = (got.double() - p @ v.double()).abs()
    return float(error.max()), float(error.mean())


@pytest.mark.parametrize(
    ("n", "d", "sharpness", "most"), [(1000, 128, 1.0, 1.05), (300, 64, 6.0, 1.2)]
)
def test_about_as_accurate_as_torch(n: int, d: int, sharpness: float, most: float) -> None:
    """Beside torch's own in BF16: its largest p is exactly 1, ours is rounded, which tells where
    a few tokens have all the weight. Sixteen times the rows of a frame, for the largest error.
    """
    q, k, v = stream(14, 640, n, d, sharpness)
    limits = torch.full((640,), n)
    ours = errors(light_attention(q, k, v, limits), q, k, v)
    plain = scaled_dot_product_attention(*(x[None, None] for x in (q, k, v)))[0, 0]
    theirs = errors(plain, q, k, v)
    assert ours[0] <= most * theirs[0] and ours[1] <= most * theirs[1]
    in_float = errors(softmax_attention(q, k, v, limits), q, k, v)
    assert in_float[1] < ours[1]


def test_refusals() -> None:
    q, k, v = stream(15, 3, 5, 8)
    limits = torch.zeros(3, dtype=torch.long)
    for function in (light_attention, softmax_attention):
        with pytest.raises(ValueError, match=r"k is torch\.float32"):
            function(q, k.float(), v, limits)
        with pytest.raises(ValueError, match=r"v \[4, 8\]"):
            function(q, k, v[:4], limits)
        with pytest.raises(ValueError, match=r"k \[5, 7\]"):
            function(q, k[:, :7], v[:, :7], limits)
        with pytest.raises(ValueError, match=r"limits is \[2\]"):
            function(q, k, v, limits[:2])
        with pytest.raises(ValueError, match=r"torch\.float32: it must be \[3\], integers"):
            function(q, k, v, limits.float())
        for counts in (limits, torch.ones(5), torch.zeros(5, dtype=torch.long)):
            with pytest.raises(ValueError, match=r"must be \[5\], integers of 1 or more"):
                function(q, k, v, limits, counts)
