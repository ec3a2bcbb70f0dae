"""Hash bits: packing, and where the two engines may differ."""

import torch

from resv_ref import numerics
from resv_ref.hashing import hash_bits
from resv_ref.trace import draw_hyperplanes


def keys(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(7)).bfloat16()


def test_bit_m_is_the_sign_of_the_product_with_hyperplane_m() -> None:
    some, planes = keys(8, 96), draw_hyperplanes(64, 96)
    packed = hash_bits(some, planes, exact=True)
    assert packed.dtype == torch.int64
    for token in range(8):
        for m in range(64):
            bit = int(packed[token]) >> m & 1
            assert bit == (float(numerics.dot(some[token], planes[m])) > 0)


def test_bit_63_makes_it_negative() -> None:
    one = torch.ones(1, 1).bfloat16()
    planes = torch.tensor([[-1.0]] * 63 + [[1.0]]).bfloat16()
    assert hash_bits(one, planes, exact=True).tolist() == [-(2**63)]
    assert hash_bits(one, planes, exact=False).tolist() == [-(2**63)]


def test_a_product_of_zero_or_nan_is_bit_0() -> None:
    planes = torch.ones(3, 2).bfloat16()
    for row in ([0.0, -0.0], [1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0]):
        assert int(hash_bits(torch.tensor(row).bfloat16(), planes, exact=True)) == 0


def test_leading_dimensions_are_kept() -> None:
    some, planes = keys(24, 8).reshape(2, 3, 4, 8), draw_hyperplanes(5, 8)
    packed = hash_bits(some, planes, exact=True)
    assert packed.shape == (2, 3, 4)
    assert int(packed[1, 2, 3]) == int(hash_bits(some[1, 2, 3], planes, exact=True))


def test_the_engines_agree_on_nearly_every_bit() -> None:
    """Only a product that is all but zero may differ: none of these 64,000 does."""
    some, planes = keys(1000, 128), draw_hyperplanes(64, 128)
    different = hash_bits(some, planes, exact=True) ^ hash_bits(some, planes, exact=False)
    assert not different.any()
