"""exp and reciprocal: the datapaths in plain integers, and their error bounds, measured."""

import math
from fractions import Fraction

import pytest
import torch

from resv_ref.numerics import exp_weight, fp32, from_bf16, reciprocal
from resv_ref.numerics.table import quadratic
from vrex.tables import EXP_WEIGHT, LOG2E, RECIPROCAL

EXP_BOUND = 0.504
"""In units of a weight, 2^-16."""
RECIPROCAL_BOUND = 0.82
"""In units of the last place."""
TEMPERATURES = [2.0**e for e in range(-4, 5)]


def unsigned(value, bits):
    """Return ``value``, checked to fit the register that the documentation gives it."""
    assert 0 <= value < 1 << bits, (value, bits)
    return value


def weight_oracle(x, temperature):
    """Walk the stages of exp_weight's documentation in integers, every width checked."""
    size = -Fraction(x) / Fraction(temperature)
    if size >= 16:
        return 0
    u = unsigned(math.floor(size * 2**26), 30)
    t = unsigned(u * unsigned(LOG2E, 25) >> 24, 31)
    n, f = unsigned(t >> 26, 5), t & (1 << 26) - 1
    c0, c1, c2 = EXP_WEIGHT.rows[f >> 20]
    r = f & (1 << 20) - 1
    inner = unsigned(unsigned(c1, 24) - (unsigned(c2, 14) * r >> 18), 24)
    y = unsigned(unsigned(c0, 28) - (r * inner >> 22), 28)
    return min(65535, (y + (1 << 11 + n)) >> 12 + n)


def exp_error(x, temperature):
    """Return the worst error of a weight, in units of a weight."""
    true = 65536 * torch.exp(x.double() / temperature)
    return (exp_weight(x, temperature) - true.clamp(max=65535)).abs().max().item()


@pytest.fixture(scope="module")
def negatives(every_bf16):
    x = from_bf16(every_bf16)
    return x[x <= 0]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_exp_of_every_bf16(temperature, negatives):
    assert len(negatives) > 32000
    assert exp_error(negatives, temperature) < EXP_BOUND


def test_exp_of_random_float32():
    rng = torch.Generator().manual_seed(1)
    worst = [
        exp_error(-torch.rand(1 << 18, generator=rng) * 12, 1.0),
        exp_error(-torch.exp2(-20 * torch.rand(1 << 18, generator=rng)), 1.0),
        exp_error(-torch.rand(1 << 18, generator=rng) * 48, 4.0),
    ]
    assert 0.5 < max(worst) < EXP_BOUND


def test_exp_in_integers(negatives):
    rng = torch.Generator().manual_seed(2)
    x = torch.cat([negatives[::16], -torch.rand(3000, generator=rng) * 17])
    for temperature in (1.0, 0.25, 8.0):
        want = [weight_oracle(value, temperature) for value in x.tolist()]
        assert exp_weight(x, temperature).tolist() == want


def test_exp_never_rises_as_the_score_falls():
    """Checked over whole intervals of the table, and over every joint of two."""
    whole = [torch.arange(i << 20, i + 1 << 20) for i in (0, 1, 31, 63)]
    joints = [torch.arange((i << 20) - 99, (i << 20) + 99) for i in range(1, 64)]
    for f in (*whole, *joints):
        y = quadratic(EXP_WEIGHT, f)
        assert bool((y[1:] <= y[:-1]).all()), f[0]
    first, last = quadratic(EXP_WEIGHT, torch.tensor([0, (1 << 26) - 1])).tolist()
    assert first <= 2 * last, "an octave starts no higher than the one before it ends"


def test_exp_at_the_edges():
    x = torch.tensor([0.0, -0.0, 1.0, -1e-40, math.nan, -math.inf, -3e38, -16.0, -15.99, -11.784])
    want = [65535, 65535, 65535, 65535, 0, 0, 0, 0, 0, 0]
    assert exp_weight(x).tolist() == want
    assert exp_weight(torch.tensor([-11.784, -11.783, -0.00002])).tolist() == [0, 1, 65535]
    assert exp_weight(torch.zeros(0, 3)).shape == (0, 3)


def test_exp_refuses():
    with pytest.raises(ValueError, match=r"temperature is 0\.3: it must be a power of two"):
        exp_weight(torch.zeros(1), 0.3)
    with pytest.raises(ValueError, match="temperature is -2"):
        exp_weight(torch.zeros(1), -2)
    with pytest.raises(ValueError, match=r"x is torch\.int64"):
        exp_weight(torch.zeros(1, dtype=torch.int64))


def test_reciprocal_of_every_mantissa():
    worst, last = 0.0, 1.0
    for start in range(0, 1 << 23, 1 << 18):
        words = torch.arange(start, start + (1 << 18), dtype=torch.int32) | 0x3F800000
        m = words.view(torch.float32)
        got = reciprocal(m)
        assert got[0] <= last and bool((got[1:] <= got[:-1]).all())
        worst = max(worst, (got.double() - 1 / m.double()).abs().max().item() * 2**24)
        last = got[-1].item()
    assert 0.5 < worst < RECIPROCAL_BOUND


def test_reciprocal_of_every_bf16(every_bf16):
    x = from_bf16(every_bf16)
    got = reciprocal(x)
    dead = x.isnan() | (x == 0)
    assert set(got[dead].view(torch.int32).tolist()) == {fp32.CANONICAL_NAN}
    x, got = x[~dead].double(), got[~dead].double()
    true = 1 / x
    tiny = true.abs() < fp32.SMALLEST_NORMAL
    assert torch.equal(got[tiny], torch.zeros_like(got[tiny]))
    assert torch.equal(got.signbit(), x.signbit())
    place = torch.exp2(torch.floor(torch.log2(true.abs())) - 23)
    assert ((got - true).abs() / place)[~tiny].max() < RECIPROCAL_BOUND


def test_reciprocal_of_a_power_of_two_is_exact():
    x = torch.tensor([2.0**e for e in range(-126, 127)])
    assert torch.equal(reciprocal(-x).double(), -1 / x.double())


def test_reciprocal_in_integers():
    rng = torch.Generator().manual_seed(3)
    m = torch.randint(0, 1 << 23, (5000,), generator=rng)
    for f, y in zip(m.tolist(), quadratic(RECIPROCAL, m).tolist(), strict=True):
        c0, c1, c2 = RECIPROCAL.rows[f >> 16]
        r = f & 0xFFFF
        inner = unsigned(unsigned(c1, 22) - (unsigned(c2, 14) * r >> 15), 22)
        assert y == unsigned(unsigned(c0, 28) - (r * inner >> 17), 28)
    with pytest.raises(ValueError, match=r"x is torch\.bfloat16"):
        reciprocal(torch.ones(1).bfloat16())
