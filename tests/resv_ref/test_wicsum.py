"""WiCSum against the definition, walked one cluster at a time in Python's integers."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resv_ref import wicsum
from resv_ref.generator import rows
from vrex import Params


def walk(weights: list[int], counts: list[int], params: Params) -> set[int]:
    ranked = sorted(range(len(weights)), key=lambda j: (-weights[j], j))
    total = sum(w * c for w, c in zip(weights, counts, strict=True))
    accumulated, taken = 0, set()
    for t, j in enumerate(ranked, start=1):
        taken.add(j)
        accumulated += weights[j] * counts[j]
        if params.k_max is not None and t >= params.k_max:
            break
        if t >= params.k_min and accumulated * 65536 > params.ratio_fixed * total:
            break
    return taken


def selected(weights: list[int], counts: list[int], params: Params) -> set[int]:
    row = wicsum.select(torch.tensor([weights]), torch.tensor(counts), params)[0]
    return set(row.nonzero()[:, 0].tolist())


RATIOS = st.sampled_from([0.0, 2**-17, 2**-16, 0.3, 0.5, 0.8, 65535 / 65536, 1.0])
WEIGHTS = st.one_of(st.integers(0, 3), st.integers(0, 65535))
COUNTS = st.one_of(st.integers(0, 3), st.integers(0, 65535))
FLOORS = st.sampled_from([1, 2, 4, 9, 65535])
CAPS = st.sampled_from([None, 1, 2, 16, 65535])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(WEIGHTS, COUNTS), min_size=1, max_size=24), RATIOS, FLOORS, CAPS)
def test_same_as_the_walk(
    row: list[tuple[int, int]], ratio: float, k_min: int, k_max: int | None
) -> None:
    params = Params(wicsum_ratio=ratio, k_min=k_min, k_max=k_max)
    weights, counts = [w for w, _ in row], [c for _, c in row]
    assert selected(weights, counts, params) == walk(weights, counts, params)


BARE = Params(k_min=1, k_max=None)


@pytest.mark.parametrize(
    ("weights", "counts", "params", "wanted"),
    [
        ([7], [3], BARE, {0}),
        ([0], [3], BARE, {0}),
        ([0, 0, 0], [1, 1, 1], BARE, {0, 1, 2}),
        ([0, 0, 0], [1, 1, 1], Params(k_min=1, k_max=2), {0, 1}),
        ([5, 5, 5, 5], [1, 1, 1, 1], BARE, {0, 1}),
        ([1, 5, 5, 1], [1, 1, 1, 1], BARE, {1}),
        ([1, 2, 3], [1, 1, 1], BARE.replace(wicsum_ratio=0.0), {2}),
        ([1, 2, 0], [1, 1, 1], BARE.replace(wicsum_ratio=1.0), {0, 1, 2}),
        ([9, 1, 2, 1], [1, 1, 1, 1], Params(k_min=4, k_max=2), {0, 2}),
        ([9, 1, 2, 1], [1, 1, 1, 1], Params(k_min=3, k_max=3), {0, 1, 2}),
        ([9, 1], [1, 1], Params(k_min=65535), {0, 1}),
        ([1, 1], [1, 1], BARE.replace(wicsum_ratio=0.5), {0, 1}),
    ],
    ids=[
        "one cluster",
        "one cluster of weight zero",
        "all zero",
        "all zero with a cap",
        "all ties",
        "a tie below the leader's number",
        "ratio 0",
        "ratio 1 takes zero weights too",
        "cap below the floor",
        "fixed top-k",
        "floor beyond the row",
        "strictly more than the threshold",
    ],
)
def test_corners(weights: list[int], counts: list[int], params: Params, wanted: set[int]) -> None:
    assert selected(weights, counts, params) == walk(weights, counts, params) == wanted


def test_the_largest_sums_do_not_overflow() -> None:
    """40,000 full clusters: R * Sum passes 2^63 by far, and one unit of mass decides."""
    n = 40_000
    weights, counts = torch.full((1, n), 65535), torch.full((n,), 65535)
    for ratio in (0.3, 65535 / 65536, 1.0):
        params = BARE.replace(wicsum_ratio=ratio)
        mass = 65535 * 65535
        crossing = params.ratio_fixed * n * mass // (65536 * mass) + 1
        assert int(wicsum.select(weights, counts, params).sum()) == min(crossing, n)


def test_the_threshold_is_exact_to_one_unit() -> None:
    for total in (65535, 65536, 3 * 2**40 + 1, 2**46 - 1):
        for ratio in (1, 19661, 65535, 65536):
            params = BARE.replace(wicsum_ratio=ratio / 65536)
            found = int(wicsum._threshold(torch.tensor([total]), params))
            assert found == Fraction(ratio * total, 65536).__floor__()


def test_rows_are_independent_and_counts_may_differ() -> None:
    weights, counts = rows(100, 20, seed=1)
    together = wicsum.select(weights, counts, Params())
    for row in range(20):
        alone = selected(weights[row].tolist(), counts[row].tolist(), Params())
        assert set(together[row].nonzero()[:, 0].tolist()) == alone


def test_float_agrees_with_integers_where_floats_are_exact() -> None:
    weights, counts = rows(300, 50, seed=2)
    for params in (Params(wicsum_ratio=0.25), BARE.replace(wicsum_ratio=0.5)):
        exact = wicsum.select(weights, counts, params)
        assert torch.equal(wicsum.select(weights.float(), counts, params), exact)


def test_a_row_without_clusters_selects_nothing() -> None:
    assert wicsum.select(torch.zeros(3, 0).long(), torch.zeros(0), Params()).shape == (3, 0)


def naive_buckets(weights: list[int], counts: list[int], ratio: int) -> tuple[int, set[int]]:
    low, high = min(weights), max(weights)
    total = sum(w * c for w, c in zip(weights, counts, strict=True))
    taken: set[int] = set()
    for number in range(15):
        bound = low + Fraction((high - low) * (14 - number), 15)
        taken |= {j for j, w in enumerate(weights) if w >= bound}
        if sum(weights[j] * counts[j] for j in taken) * 65536 > ratio * total:
            return number + 1, taken
    return 15, taken


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(WEIGHTS, COUNTS), min_size=1, max_size=24), RATIOS)
def test_the_papers_buckets(row: list[tuple[int, int]], ratio: float) -> None:
    params = BARE.replace(wicsum_ratio=ratio)
    weights, counts = [w for w, _ in row], [c for _, c in row]
    passes, taken = naive_buckets(weights, counts, params.ratio_fixed)
    found = wicsum.paper_buckets(torch.tensor([weights]), torch.tensor(counts), params)
    assert int(found.passes) == passes
    assert set(found.selected[0].nonzero()[:, 0].tolist()) == taken


def test_the_papers_buckets_take_no_less_than_the_definition() -> None:
    weights, counts = rows(1024, 50, seed=5)
    found = wicsum.paper_buckets(weights, counts, BARE)
    assert bool((found.selected | ~wicsum.select(weights, counts, BARE)).all())
    assert 1 < found.passes.float().mean() < 15
