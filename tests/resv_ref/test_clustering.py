"""The HC table against a naive second implementation, written from docs/algorithm.md alone."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resv_ref.clustering import HCTable
from vrex import Params


class NaiveCluster:
    def __init__(self, bits: str, token: int) -> None:
        self.bits = bits
        self.tokens = [token]
        self.sealed = False


def naive(params: Params, frames: list[list[str]]) -> tuple[list[int], list[int]]:
    """Return every token's cluster (-1: a sink), and how many are sealed after each frame."""
    clusters: list[NaiveCluster] = []
    assigned: list[int] = []
    sealed: list[int] = []
    for frame in frames:
        for bits in frame:
            token = len(assigned)
            if token < params.n_sinks:
                assigned.append(-1)
                continue
            distances = {}
            for number, cluster in enumerate(clusters):
                among_last = cluster.tokens[0] in range(token - params.join_window, token)
                if among_last and len(cluster.tokens) < params.cluster_cap:
                    assert not cluster.sealed, "a joinable cluster is an open one"
                    distances[number] = sum(a != b for a, b in zip(bits, cluster.bits, strict=True))
            near = {n: x for n, x in distances.items() if x < params.hamming_threshold}
            if near:
                least = min(near.values())
                chosen = min(n for n, x in near.items() if x == least)
                clusters[chosen].tokens.append(token)
            else:
                chosen = len(clusters)
                clusters.append(NaiveCluster(bits, token))
            assigned.append(chosen)
        while sum(len(c.tokens) for c in clusters if not c.sealed) > params.recent_window:
            next(c for c in clusters if not c.sealed).sealed = True
        sealed.append(sum(c.sealed for c in clusters))
    return assigned, sealed


def through_table(params: Params, frames: list[list[str]]) -> tuple[list[int], list[int], HCTable]:
    table = HCTable(params, 2)
    assigned: list[int] = []
    sealed: list[int] = []
    for frame in frames:
        for bits in frame:
            token = len(assigned)
            if token < params.n_sinks:
                assigned.append(-1)
            else:
                packed = int(bits[::-1], 2)
                signed = packed - (1 << 64) if packed >> 63 else packed
                assigned.append(table.assign(token, signed, key(token), key(token)))
        table.seal()
        sealed.append(table.sealed)
    return assigned, sealed, table


def key(token: int) -> Tensor:
    return torch.tensor([token * 0.37, 1e30 / (token + 1)])


def noisy(generator: torch.Generator, scenes: list[str], flips: int) -> str:
    """Return one of the scenes' bits with up to ``flips`` bits flipped: near, far and equal."""
    bits = list(scenes[int(torch.randint(len(scenes), (), generator=generator))])
    for place in torch.randint(len(bits), (flips,), generator=generator).tolist():
        bits[place] = "1" if bits[place] == "0" else "0"
    return "".join(bits)


def stream(seed: int, n_frames: int, tokens: int, planes: int, flips: int) -> list[list[str]]:
    g = torch.Generator().manual_seed(seed)
    random = torch.randint(2, (5, planes), generator=g).tolist()
    scenes = ["".join(map(str, bits)) for bits in random]
    return [[noisy(g, scenes, flips) for _ in range(tokens)] for _ in range(n_frames)]


@pytest.mark.parametrize("planes", [1, 8, 32, 64])
@pytest.mark.parametrize("threshold", [0, 1, 5, 65])
def test_same_as_naive(planes: int, threshold: int) -> None:
    params = Params(
        n_hyperplanes=planes,
        hamming_threshold=threshold,
        recent_window=40,
        join_window=25,
        cluster_cap=6,
        n_sinks=4,
    )
    frames = stream(planes + threshold, 30, 7, planes, flips=3)
    assert through_table(params, frames)[:2] == naive(params, frames)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 5),
    st.integers(0, 9),
    st.integers(0, 5),
)
def test_same_as_naive_under_any_windows(
    seed: int, tokens: int, recent: int, join: int, cap: int, sinks: int, threshold: int
) -> None:
    params = Params(
        n_hyperplanes=8,
        hamming_threshold=threshold,
        recent_window=recent,
        join_window=join,
        cluster_cap=cap,
        n_sinks=sinks,
    )
    frames = stream(seed, 12, tokens, 8, flips=2)
    assert through_table(params, frames)[:2] == naive(params, frames)


def test_ties_go_to_the_lowest_number_and_the_leader_keeps_its_bits() -> None:
    params = Params(n_hyperplanes=4, hamming_threshold=2, n_sinks=0)
    assigned, _, table = through_table(params, [["0000", "1100", "1000", "0100", "1110"]])
    assert assigned == [0, 1, 0, 0, 1]
    assert table.bits == [0, 0b0011]


def test_a_cluster_opened_in_a_frame_is_joined_in_it() -> None:
    params = Params(n_hyperplanes=4, n_sinks=0)
    assert through_table(params, [["0101", "0101"]])[0] == [0, 0]


def test_the_join_window_is_counted_from_the_first_member() -> None:
    params = Params(n_hyperplanes=4, hamming_threshold=1, join_window=3, n_sinks=0)
    assert through_table(params, [["0000"] * 3, ["0000"] * 2])[0] == [0, 0, 0, 0, 1]


def test_the_mean_is_that_of_sequential_fp32_sums() -> None:
    table = HCTable(Params(hamming_threshold=65, cluster_cap=50), 3)
    keys = torch.randn(37, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 1e20, 1e-38]
    )
    total = torch.zeros(3)
    for token, one in enumerate(keys):
        table.assign(token, 0, one, one)
        flushed = torch.where(one.abs() < 2.0**-126, torch.zeros(3), one)
        total = total + flushed
        total = torch.where(total.abs() < 2.0**-126, torch.zeros(3), total)
    mean = (total / 37).to(torch.float32)
    mean = torch.where(mean.abs() < 2.0**-126, torch.zeros(3), mean).bfloat16()
    assert torch.equal(table.means(1), mean[None])
    assert table.counts(1).tolist() == [37]


def test_means_of_values_are_made_as_those_of_keys_are() -> None:
    """Of every cluster, sealed or open, over more clusters than there is room for at first."""
    params = Params(hamming_threshold=3, recent_window=150, join_window=40, estimate=True)
    table, plain = HCTable(params, 3), HCTable(params.replace(estimate=False), 3)
    g = torch.Generator().manual_seed(0)
    for token in range(600):
        bits, (key, value) = int(torch.randint(1 << 9, (), generator=g)), torch.randn(2, 3)
        table.assign(token, bits, key, key, value)
        plain.assign(token, bits, value, value)
        table.seal()
        plain.seal()
    assert 64 < table.sealed < len(table) and table.members == plain.members
    for clusters in (0, 1, table.sealed, len(table)):
        assert torch.equal(table.value_means(clusters), plain.means(clusters))
    assert not torch.equal(table.means(9), plain.means(9))


def test_values_are_needed_where_their_means_are() -> None:
    one = torch.ones(2)
    table = HCTable(Params(estimate=True), 2)
    with pytest.raises(ValueError, match="value is missing: estimate is set"):
        table.assign(0, 0, one, one)
    assert len(table) == 0 and table.window == 0
    plain = HCTable(Params(), 2)
    plain.assign(0, 0, one, one)
    with pytest.raises(ValueError, match="no means of values: estimate is not set"):
        plain.value_means(1)


def test_a_sealed_cluster_never_changes() -> None:
    params = Params(n_hyperplanes=8, recent_window=20, join_window=20, n_sinks=0)
    table, seen, token = HCTable(params, 2), torch.empty(0, 2), 0
    for frame in stream(1, 25, 5, 8, flips=1):
        for bits in frame:
            table.assign(token, int(bits, 2), key(token), key(token))
            token += 1
        table.seal()
        now = table.means(table.sealed).clone()
        assert torch.equal(now[: len(seen)], seen)
        seen = now
    assert len(seen) > 3


def test_two_thousand_tokens_are_quick() -> None:
    """Every token opens a cluster and scans a full join window: the slowest case."""
    table = HCTable(Params(hamming_threshold=0, recent_window=256, join_window=256), 64)
    start = time.process_time()
    for token in range(2000):
        table.assign(token, token * 0x9E3779B9, torch.ones(64), torch.ones(64))
        table.seal()
    assert time.process_time() - start < 4
    assert len(table) == 2000 and table.sealed == 2000 - 256
