"""The reference of residency, and the figures that come of it."""

import itertools

import numpy as np
import pytest

from resv_ref.residency import Residency, coalesce
from vrex.residency import TOP, Policy, gain, touch
from vrex_hw.config import CONFIGS
from vrex_sim.benches import residency_figures as figures
from vrex_sim.benches.residency_floor import least_fetched
from vrex_sim.benches.residency_streams import Frame


def random_head(rng, frames, clusters, most=8):
    """Return frames that select half of the clusters that are sealed by then."""
    counts = rng.integers(1, most + 1, clusters)
    head = []
    for frame in range(frames):
        sealed = min(clusters, 1 + frame)
        selected = np.flatnonzero(rng.random(sealed) < 0.5).tolist()
        head.append(Frame(selected, counts[:sealed]))
    return head


def test_touched_priorities():
    """The ends of the scale and what stays put."""
    assert [touch(p, False, Policy.LRU, 32) for p in (0, 1, TOP)] == [0, 0, TOP - 1]
    assert touch(7, True, Policy.LRU, 0) == TOP
    assert [touch(p, False, Policy.FREQUENCY, 32) for p in (0, 1, 8, 9, TOP)] == [0, 0, 7, 7, 223]
    assert [touch(p, True, Policy.FREQUENCY, 32) for p in (0, TOP)] == [32, TOP]
    assert [gain(count, 32) for count in (1, 31, 32)] == [1, 31, 32]
    assert [gain(count, 8) for count in (1, 8)] == [4, 32]
    assert [gain(count, 256) for count in (7, 8, 256)] == [0, 1, 32]


def test_requests_are_cut_between_clusters():
    """Whole clusters while they fit; a large one by itself is cut, and its rest joined."""
    counts = np.array([3, 3, 3, 20, 1, 1, 4])
    assert coalesce([0, 1, 2], counts, 1, 8) == [(0, 6), (6, 3)]
    assert coalesce([2, 3, 4, 6], counts, 1, 8) == [(6, 3), (9, 8), (17, 8), (25, 5), (31, 4)]
    assert coalesce([], counts, 1, 8) == []
    assert coalesce([0, 2], counts, 4, 64) == [(0, 12), (24, 12)]


@pytest.mark.parametrize("seed", range(12))
def test_the_floor_is_the_optimum(seed):
    """Against every way to keep clusters of a short stream; no policy beats it."""
    rng = np.random.default_rng(seed)
    head = random_head(rng, 7, 5)
    rooms = sorted(rng.integers(0, 4, 7).tolist())
    assert least_fetched(head, rooms) == brute_force(head, rooms)
    for policy in Policy:
        model = Residency(0, policy, slot_tokens=8)
        fetched = 0
        for frame, room in zip(head, rooms, strict=True):
            model.room = room
            places = model.step(frame.selected, frame.counts).places
            fetched += sum(int(frame.counts[p.cluster]) for p in places if p.fetched)
        assert fetched >= least_fetched(head, rooms)


def brute_force(head, rooms):
    """Return the least tokens fetched: the best way to every set that is kept after a frame."""
    best = {frozenset(): 0}
    for frame, room in zip(head, rooms, strict=True):
        after = {}
        for kept, cost in best.items():
            missing = [c for c in frame.selected if c not in kept]
            cost += sum(int(frame.counts[c]) for c in missing)
            there = kept | set(missing)
            for size in range(min(room, len(there)) + 1):
                for subset in map(frozenset, itertools.combinations(sorted(there), size)):
                    after[subset] = min(cost, after.get(subset, cost))
        best = after
    return min(best.values())


def test_figures(monkeypatch):
    """Names, order and bounds, over two small streams."""
    rng = np.random.default_rng(1)
    sets = {name: [random_head(rng, 60, 30, most=32)] for name in ("one", "two")}
    monkeypatch.setattr(figures, "streams", lambda mode: sets)
    config = CONFIGS["core"]
    values = {f["name"]: f["value"] for f in figures.residency_figures(config)}
    stem = "residency.fetched_over_selected"
    assert len(values) == 2 * 3 * 3 * 3
    assert values[f"{stem}_lru_50_tight.two"] == values[f"{stem}_lru_50.two"]
    for way in ("", "_lru"):
        for stream in ("", ".one", ".two"):
            assert values[f"{stem}_floor{stream}"] <= values[f"{stem}{way}{stream}"] <= 1
            shares = [values[f"{stem}{way}{share}{stream}"] for share in ("_10", "", "_50")]
            assert shares == sorted(shares, reverse=True)
    selected = sum(
        int(frame.counts[frame.selected].sum()) for heads in sets.values() for frame in heads[0]
    )
    everything = list(figures.request_sizes(config, "recommended", resident=False))
    assert sum(everything) == 512 * selected and max(everything) <= 512 * 128
    some = sum(figures.request_sizes(config, "recommended", resident=True))
    assert some < sum(everything)
