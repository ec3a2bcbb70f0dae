"""The score maps: integer weights against fractions, float weights against their definition."""

import math
from fractions import Fraction

import pytest
import torch

from resv_ref.numerics import exp_weight, fp32, scale, weights, weights_float
from vrex import Params, UserError

MAPS = ("exp", "shift_min", "relu")


def scores(seed, rows, columns, sigma=3.0, offset=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=rng) * sigma + offset


def normalised(values):
    """Return the integers for exact values >= 0: the definition, in fractions."""
    largest = max(values)
    if largest == 0:
        return [0] * len(values)
    power = Fraction(1)
    while largest * power >= 65536:
        power /= 2
    while largest * power < 32768:
        power *= 2
    return [min(65535, round(value * power)) for value in values]


def oracle(row, name, temperature=1.0):
    """Return one row's weights; the subtraction is float32's, everything else exact."""
    live = [s for s in row.tolist() if math.isfinite(s)]
    if not live:
        return [0] * len(row)
    if name == "exp":
        top = torch.tensor(max(live))
        return [int(exp_weight(s - top, temperature)) if s.isfinite() else 0 for s in row]
    if name == "relu":
        return normalised(
            [Fraction(max(s, 0.0)) if math.isfinite(s) else Fraction(0) for s in row.tolist()]
        )
    floor = torch.tensor(min(live))
    return normalised([Fraction((s - floor).item()) if s.isfinite() else Fraction(0) for s in row])


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("offset", [0.0, -16.0, 20.0])
def test_integer_weights(name, offset):
    x = scores(1, 12, 40, offset=offset)
    x[1] = x[1].abs()
    x[2] = -x[2].abs()
    x[3] *= 1e-20
    x[4] *= 1e20
    x[5, ::3] = math.nan
    x[6] = math.nan
    x[7, 1:] = math.nan
    x[8] = 1.25
    x[9] = 0.0
    x[10, 5], x[10, 6] = math.inf, -math.inf
    got = weights(x, Params(score_map=name))
    assert got.dtype == torch.int64 and got.shape == x.shape
    assert got.tolist() == [oracle(row, name) for row in x]


@pytest.mark.parametrize("temperature", [2.0**-4, 0.5, 16.0])
def test_temperature(temperature):
    x = scores(2, 4, 50)
    got = weights(x, Params(score_temperature=temperature))
    assert got.tolist() == [oracle(row, "exp", temperature) for row in x]


@pytest.mark.parametrize("name", ["shift_min", "relu"])
def test_the_largest_is_in_the_top_octave_and_never_past_it(name):
    x = torch.zeros(6, 2)
    x[:, 0] = torch.tensor([65535.25, 65535.5, 65535.996, 65536.0, 65534.5, 32767.998])
    got = weights(x, Params(score_map=name))[:, 0].tolist()
    assert got == [65535, 65535, 65535, 32768, 65534, 65535], "ties go to even"
    many = weights(scores(3, 500, 20, sigma=9.0).exp(), Params(score_map=name)).amax(1)
    assert many.min() >= 32768 and many.max() <= 65535


def test_a_shift_of_all_scores_changes_nothing_for_exp():
    x = torch.round(scores(4, 5, 30) * 256) / 256
    assert torch.equal(weights(x, Params()), weights(x - 16, Params()))


def test_a_nan_takes_no_part():
    x = scores(5, 6, 30)
    gap = torch.cat([x[:, :10], torch.full((6, 1), math.nan), x[:, 10:]], 1)
    keep = [i for i in range(31) if i != 10]
    for name in MAPS:
        for function in (weights, weights_float):
            got = function(gap, Params(score_map=name))
            assert torch.equal(got[:, keep], function(x, Params(score_map=name)))
            assert not got[:, 10].any()
    assert not weights_float(gap, Params(score_map="raw"))[:, 10].any()


def test_float_weights():
    x = scores(6, 5, 30)
    got = {name: weights_float(x, Params(score_map=name)) for name in (*MAPS, "raw")}
    top, floor = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    torch.testing.assert_close(got["exp"], torch.exp(x - top))
    assert torch.equal(got["shift_min"], x - floor)
    assert torch.equal(got["relu"], x.clamp(min=0))
    assert torch.equal(got["raw"], x)
    warm = weights_float(x, Params(score_temperature=4.0))
    torch.testing.assert_close(warm, torch.exp((x - top) / 4))


@pytest.mark.parametrize("name", MAPS)
def test_integer_weights_follow_the_float_ones(name):
    x = scores(7, 20, 200)
    exact = weights(x, Params(score_map=name)).double()
    real = weights_float(x, Params(score_map=name)).double()
    if name == "exp":
        assert (exact - 65536 * real).abs().max() < 1.01
        return
    ratio = torch.exp2(15 - torch.floor(torch.log2(real.amax(1, keepdim=True))))
    assert (exact - ratio * real).abs().max() <= 0.5


def test_no_columns_and_refusals():
    for name in MAPS:
        assert weights(torch.zeros(3, 0), Params(score_map=name)).shape == (3, 0)
        assert weights_float(torch.zeros(3, 0), Params(score_map=name)).shape == (3, 0)
    with pytest.raises(UserError, match="score_map is 'raw'"):
        weights(torch.zeros(1, 1), Params(score_map="raw"))
    for function in (weights, weights_float):
        with pytest.raises(ValueError, match=r"scores is torch\.float64"):
            function(torch.zeros(1, 1, dtype=torch.float64), Params())


def test_scale_is_one_product_with_the_nearest_constant():
    for d in range(1, 1025):
        c = scale(torch.ones(1), d)
        near = [Fraction(torch.nextafter(c, torch.tensor(end)).item()) for end in (0.0, 2.0)]
        low, high = ((Fraction(c.item()) + x) / 2 for x in near)
        assert low * low * d <= 1 <= high * high * d, d
    x = scores(8, 4, 4)
    assert torch.equal(scale(x, 64), x / 8)
    assert torch.equal(scale(x, 128), fp32.mul(x, torch.tensor(128**-0.5)))
    assert scale(torch.tensor([math.inf, 1e-38]), 64).isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match="d is 0"):
        scale(x, 0)
