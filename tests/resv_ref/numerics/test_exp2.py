"""2^x as BF16: its datapath in plain integers, its error bound and its edges."""

import math
from fractions import Fraction

import pytest
import torch

from resv_ref.numerics import exp2_bf16, fp32, from_bf16
from vrex.tables import EXP2

BOUND = 0.507
"""In units of the last place of a BF16."""
LOG2E = torch.tensor(math.log2(math.e))
NAN = 0x7FC0


def bits_of(p):
    return (p.view(torch.int16).int() & 0xFFFF).tolist()


def oracle(x):
    """Walk the stages of the documentation in integers; return the BF16's bits."""
    if not math.isfinite(x):
        return NAN
    u = math.floor(abs(Fraction(x)) * 2**18)
    if u >= 256 << 18:
        return NAN if x > 0 else 0
    t = -u if x > 0 else u
    i, g = t >> 18, t & (1 << 18) - 1
    c0, c1 = EXP2.rows[g >> 12]
    y = c0 - ((g & 0xFFF) * c1 >> 12)
    assert 1 << 17 <= y < 1 << 18
    if i > 125:
        return 0
    kept, rest = y >> 10, y & 0x3FF
    kept += rest > 512 or (rest == 512 and kept & 1)
    # A carry out of the significand goes on into the exponent.
    word = ((126 - i) << 7) + kept - 128
    return NAN if word >= 0x7F80 else word


def error(p, true):
    """Return the worst error where neither is zero or NaN, in units of the last place."""
    normal = (true >= fp32.SMALLEST_NORMAL) & ~p.isnan()
    place = torch.exp2(torch.floor(torch.log2(true)) - 7)
    return ((p.double() - true).abs() / place)[normal].max().item()


def samples(count, reach, seed):
    rng = torch.Generator().manual_seed(seed)
    return (torch.rand(count, generator=rng) * 2 - 1) * reach


def test_in_integers():
    x = torch.cat([samples(4000, reach, seed=1) for reach in (1.0, 130.0, 300.0)])
    edges = [0.0, -0.0, 1e-40, 2.0**-18, -(2.0**-18), 127.99, 127.998, 255.9999, -255.9999, -256.0]
    x = torch.cat([x, torch.arange(-130.0, 131.0), torch.tensor(edges)])
    assert bits_of(exp2_bf16(x)) == [oracle(value) for value in x.tolist()]


def test_every_argument_of_the_table():
    """All 2^18 fractions, each at both ends of what is truncated to it, of either sign."""
    u = torch.arange(1 << 18)
    for sign in (-1, 1):
        for cut in (0, 31 / 32):
            x = (sign * (1 + (u + cut) / 2**18)).float()
            p = exp2_bf16(x)
            assert 0.5 < error(p, torch.exp2(x.double())) < BOUND
            steps = sign * p.float().diff()
            assert bool((steps >= 0).all()), "it never falls as x rises"


def test_dense_samples():
    x = torch.cat([samples(1 << 19, 130.0, seed=2), torch.linspace(-130, 130, 1 << 19)])
    x = x.sort().values
    p = exp2_bf16(x)
    true = torch.exp2(x.double())
    assert 0.5 < error(p, true) < BOUND
    assert bool((p[x <= -126] == 0).all()) and bool((p[(x > -125.9) & (x < 127.99)] > 0).all())
    assert bool(p[x >= 128].isnan().all()) and not bool(p[x < 127.99].isnan().any())
    finite = p[~p.isnan()].float()
    assert bool((finite.diff() >= 0).all())


def test_exp_of_every_bf16(every_bf16):
    """e^x as attention has it: 2^x of the float32 product with log2(e)."""
    x = from_bf16(every_bf16)
    x = x[x.isfinite()]
    p, true = exp2_bf16(fp32.mul(x, LOG2E)), torch.exp(x.double())
    assert len(x) > 65000
    assert 0.5 < error(p, true) < BOUND
    low, high = (x < -87.4) & (x > -2e38), x > 88.8
    assert bool((p[low] == 0).all()) and bool(p[high].isnan().all())
    assert bool((p[(x > -87.3) & (x < 88.7)] > 0).all())
    assert bool(p[x < -3e38].isnan().all()), "the product overflows"


def test_powers_of_two_are_exact():
    x = torch.arange(-125.0, 128.0)
    assert torch.equal(exp2_bf16(x).double(), torch.exp2(x.double()))


def test_edges():
    x = [0.0, -0.0, 1e-40, -126.0, -127.5, 128.0, 256.0, 3e38, -256.0, -3e38]
    assert exp2_bf16(torch.tensor(x[:5])).tolist() == [1, 1, 1, 0, 0]
    assert bits_of(exp2_bf16(torch.tensor(x[5:]))) == [NAN, NAN, NAN, 0, 0]
    bad = torch.tensor([math.nan, math.inf, -math.inf])
    assert bits_of(exp2_bf16(bad)) == [NAN] * 3
    assert exp2_bf16(torch.zeros(0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match=r"x is torch\.float64"):
        exp2_bf16(torch.zeros(1).double())
