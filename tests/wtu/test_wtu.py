"""The WTU on emitted Verilog: every selection is the sorted definition's."""

import dataclasses
import functools
import random
from collections import Counter

import numpy as np
import pytest
from amaranth.back import verilog

from vrex.params import K_MAX_NONE, RATIO_ONE
from vrex_hw.config import WTUConfig
from vrex_hw.wtu import WTU
from vrex_sim import runner
from vrex_sim.benches.wtu_figures import hardest
from vrex_sim.benches.wtu_rows import Row
from vrex_sim.benches.wtu_wanted import arguments, wanted

TINY = WTUConfig(lanes=4, entries=64, candidates=4)
WIDE = WTUConfig(lanes=8, entries=256)
CONFIGS = {
    "tiny": TINY,
    "wide": WIDE,
    "one_lane": WTUConfig(lanes=1, entries=16, candidates=2),
    "narrow": WTUConfig(
        lanes=2, entries=8, weight_bits=5, count_bits=3, digit_bits=3, candidates=2
    ),
}


@functools.cache
def emit(config: WTUConfig) -> tuple[WTU, str]:
    unit = WTU(config)
    return unit, verilog.convert(unit, name="wtu")


def run(config, rows, *, idle=0.0, stall=0.0, seed=1):
    values = {"config": dataclasses.asdict(config), "seed": seed, "idle": idle, "stall": stall}
    return runner.run(
        emit(config)[1], "wtu", "vrex_sim.benches.wtu", {**values, **arguments(rows, config)}
    )


def definition(row: Row) -> set[int]:
    """Walk the sorted row in Python's integers."""
    order = np.flatnonzero(row.valid).tolist()
    total = sum(int(row.weights[j]) * int(row.counts[j]) for j in order)
    order.sort(key=lambda j: (-row.weights[j], j))
    taken, accumulated = set(), 0
    for t, j in enumerate(order, start=1):
        taken.add(j)
        accumulated += int(row.weights[j]) * int(row.counts[j])
        if t >= row.k_max or (t >= row.k_min and accumulated * RATIO_ONE > row.ratio * total):
            break
    return taken


def random_row(rng: np.random.Generator, config: WTUConfig) -> Row:
    most = (1 << config.weight_bits) - 1
    n = int(rng.integers(1, config.entries + 1))
    normal = rng.normal(0, rng.choice([0.1, 0.7, 1.5, 3.0]), n)
    weights = [
        rng.integers(0, most + 1, n),
        np.minimum(most, np.rint((most + 1) * np.exp(normal - normal.max()))),
        rng.choice([0, 1, 2, most - 1, most], n),
        most // 3 + rng.integers(0, 3, n),
        most >> rng.integers(0, config.weight_bits, n),
    ][rng.integers(5)]
    counts = rng.choice([0, 1, 2, (1 << config.count_bits) - 1], n)
    counts = np.where(rng.random(n) < 0.5, counts, rng.integers(0, 1 << config.count_bits, n))
    ratio = int(rng.choice([0, 1, 0.3 * RATIO_ONE, RATIO_ONE - 1, RATIO_ONE, rng.integers(65537)]))
    k_min = int(rng.choice([1, 4, rng.integers(1, n + 1), 65535]))
    k_max = int(rng.choice([1, 16, k_min, rng.integers(1, n + 1), K_MAX_NONE]))
    valid = rng.random(n) < rng.choice([1.0, 0.8, 0.1])
    return Row.make(weights.astype(int), counts, ratio, valid=valid, k_min=k_min, k_max=k_max)


@pytest.mark.parametrize(
    ("name", "rows", "idle", "stall", "seed"),
    [
        ("tiny", 250, 0.0, 0.0, 1),
        ("tiny", 250, 0.5, 0.5, 2),
        ("tiny", 120, 0.0, 0.9, 3),
        ("wide", 80, 0.0, 0.0, 4),
        ("wide", 50, 0.3, 0.6, 5),
        ("one_lane", 200, 0.3, 0.3, 6),
        ("narrow", 250, 0.3, 0.3, 7),
    ],
)
def test_random_rows(name, rows, idle, stall, seed):
    config = CONFIGS[name]
    rng = np.random.default_rng(seed)
    rows = [random_row(rng, config) for _ in range(rows)]
    assert all(set(np.flatnonzero(wanted(row))) == definition(row) for row in rows[:100])
    run(config, rows, idle=idle, stall=stall, seed=seed)


R = round(0.3 * RATIO_ONE)
N = TINY.entries
TOP = 65535
SPREAD = np.arange(N)[::-1] * 1000 + 7
CORNERS = {
    "one cluster": Row.make([9], 3, R),
    "one cluster, weight 0": Row.make([0], 3, R),
    "no cluster takes part": Row.make([5, 6, 7], 1, R, valid=False),
    "as many as the memory holds": Row.make(SPREAD, 1, R),
    "one more than the memory holds": Row.make(np.arange(N + 1), 1, R),
    "the next row is fine": Row.make(SPREAD, 2, R),
    "twice what the memory holds": Row.make(np.arange(2 * N + 3), 1, R),
    "all ties, the ratio decides": Row.make([777] * N, 5, R),
    "all ties, k_max decides": Row.make([TOP] * N, 5, RATIO_ONE, k_max=37),
    "all ties, k_min decides": Row.make([TOP] * N, 5, 0, k_min=21),
    "ties across lanes": Row.make([9, 5, 5, 5, 5, 5, 1], [1, 2, 2, 2, 2, 2, 1], R, k_max=3),
    "all weights zero": Row.make([0] * N, 7, R),
    "all weights zero, k_max": Row.make([0] * N, 7, R, k_max=13),
    "zeros are reached": Row.make([3, 0, 0, 0, 0, 0], 1, R, k_min=4),
    "weights 0 and 1": Row.make([0, 1, 0, 1, 1, 0, 0, 1], 1, R, k_min=6),
    "ratio 0": Row.make(SPREAD, 3, 0),
    "ratio 0, counts 0 first": Row.make(SPREAD, [0] * 20 + [4] * (N - 20), 0),
    "ratio 1": Row.make(SPREAD, 3, RATIO_ONE),
    "ratio 1, k_max": Row.make(SPREAD, 3, RATIO_ONE, k_max=9),
    "k_min = k_max": Row.make(SPREAD, 3, R, k_min=5, k_max=5),
    "k_min > k_max": Row.make(SPREAD, 3, R, k_min=50, k_max=5),
    "k_min beyond the row": Row.make(SPREAD, 3, R, k_min=1000),
    "k_max beyond the row": Row.make(SPREAD, 3, R, k_max=1000),
    "all counts 0": Row.make(SPREAD, 0, R),
    "largest sums": Row.make([TOP] * N, TOP, RATIO_ONE - 1),
    "partial last beat": Row.make(SPREAD[: N - 3], 3, R),
    "holes": Row.make(SPREAD, 3, R, valid=np.arange(N) % 3 == 1),
    "whole beats of holes": Row.make(SPREAD, 3, R, valid=np.arange(N) // 4 % 2 == 1),
    "first cluster a hole": Row.make([TOP, 5, 4], 3, R, valid=[0, 1, 1]),
    "one lane has all the candidates": Row.make(np.where(np.arange(N) % 4 == 2, TOP, 9), 1, R),
    "candidates just fit": Row.make([60000] * 16 + [9] * 48, 1, R, k_max=11),
    "candidates just do not": Row.make([60000] * 17 + [9] * 47, 1, R, k_max=11),
    "Acc equals the threshold": Row.make([4, 3, 2, 1], 1, RATIO_ONE * 4 // 10),
    "Acc is one above the threshold": Row.make([5, 3, 2, 1], 1, RATIO_ONE * 4 // 11),
}


def test_corners(capsys):
    """Each corner twice in a row, in an order of its own, with and without stalls."""
    order = [*CORNERS] * 2
    for seed, idle, stall in ((1, 0.0, 0.0), (2, 0.4, 0.4), (3, 0.0, 0.8)):
        run(TINY, [CORNERS[name] for name in order], idle=idle, stall=stall, seed=seed)
        random.Random(seed).shuffle(order)
    for name, row in CORNERS.items():
        assert set(np.flatnonzero(wanted(row))) == definition(row), name


@pytest.mark.parametrize("config", [TINY, WIDE], ids=["tiny", "wide"])
def test_a_reset_at_any_moment_leaves_nothing_behind(config):
    """Rows cut off in mid-row, while they are resolved and while they are emitted."""
    rng = np.random.default_rng(9)
    rows = []
    for moment in [0, *range(1, 60, 3)]:
        for lost in (random_row(rng, config), Row.make([TOP] * config.entries, 1, R)):
            rows += [dataclasses.replace(lost, reset=moment), random_row(rng, config)]
    run(config, rows)


WORDS = N // TINY.lanes
READINGS = {
    "the crossing octave is taken whole: candidates emit": (
        Row.make([40000, 40001, 40002, 40003] + [9] * 60, 1, 0, k_min=4),
        1,
    ),
    "it ends within k_max, below the threshold": (
        Row.make([40000, 40001, 40002, 40003] + [900] * 60, 1, RATIO_ONE, k_max=4),
        1,
    ),
    "one round tells two candidates apart": (
        Row.make([40000, 60000, 40002] + [9] * 61, 1, 0),
        1 + 1,
    ),
    "a low octave is read from the row": (
        Row.make([9] * 4 + [1] * 60, 1, 0, k_min=4),
        WORDS,
    ),
    "a round over the row keeps the rest for the candidates": (
        Row.make([60000, 50000, 45000, 40000] + [10000] * 60, 1, 0, k_min=3),
        WORDS + 1,
    ),
    "everything is selected": (Row.make(SPREAD, 1, RATIO_ONE), WORDS),
    "nothing takes part": (Row.make(SPREAD, 1, 0, valid=False), WORDS),
}


def test_readings_are_as_few_as_told():
    """The early exits and the candidate buffers do what they are there for."""
    result = run(TINY, [row for row, _ in READINGS.values()])
    got = dict(zip(READINGS, result["reads"].tolist(), strict=True))
    assert got == {name: reads for name, (_, reads) in READINGS.items()}
    assert result["counters"]["rows"] == len(READINGS)
    assert result["counters"]["reads"] == sum(got.values())


def test_the_worst_row_takes_no_more_than_a_reading_for_each_digit():
    rows = hardest(TINY)
    reads = run(TINY, rows)["reads"]
    passes = [r / -(-len(row.weights) // 4) for r, row in zip(reads, rows, strict=True)]
    digits = -(-(TINY.weight_bits - 1 + 6) // TINY.digit_bits)
    assert digits <= max(passes) <= digits + 1 <= 9


@pytest.mark.parametrize("name", ["tiny", "wide"])
def test_cycles_are_those_of_the_docstring(name):
    """Without stalls a row takes its beats, readings, buckets, a constant, and some a round."""
    config = CONFIGS[name]
    rng = np.random.default_rng(11)
    same = {"ratio": R, "k_min": 4, "k_max": 16}
    rows = [dataclasses.replace(random_row(rng, config), **same) for _ in range(60)]
    result = run(config, rows)
    unit, _ = emit(config)
    beats = np.array([-(-len(row.weights) // config.lanes) for row in rows])
    cycles = np.diff(result["trailers"], prepend=result["first"] - 1)
    in_rounds = cycles - beats - result["reads"] - result["buckets"] - unit.cycles_a_row
    rounds, rest = np.divmod(in_rounds, unit.cycles_a_round)
    assert set(rest) == {0, 1}, "one more where the last reading has a hit"
    assert rounds.min() == 0
    assert 1 < rounds.max() <= unit.most_rounds


def test_coverage_of_what_rows_can_do(capsys):
    """Random rows reach every way to resolve a row; the table is printed."""
    rng = np.random.default_rng(10)
    rows = [random_row(rng, TINY) for _ in range(500)]
    result = run(TINY, rows)
    seen = Counter()
    for row, reads in zip(rows, result["reads"].tolist(), strict=True):
        words, picked = -(-len(row.weights) // TINY.lanes), int(wanted(row).sum())
        weights, taking_part = row.weights[row.valid], int(row.valid.sum())
        least = row.weights[wanted(row)].min() if picked else 0
        total = (row.weights * row.counts)[row.valid].sum()
        share = (row.weights * row.counts)[wanted(row)].sum()
        seen["nobody takes part"] += taking_part == 0
        seen["everybody is selected"] += 0 < taking_part == picked
        seen["one is selected"] += picked == 1
        seen["k_max ends it"] += picked == row.k_max < taking_part
        seen["k_min holds it"] += picked == row.k_min < row.k_max
        seen["the ratio ends it"] += row.k_min < picked < row.k_max and picked < taking_part
        seen["the ratio is met exactly"] += int(share) * RATIO_ONE == row.ratio * int(total) > 0
        seen["a tie is cut"] += bool(
            picked and (weights == least).sum() > (row.weights[wanted(row)] == least).sum()
        )
        seen["zero weights are cut"] += picked > 0 == least and picked < taking_part
        seen["the candidates do"] += 0 < reads < words
        seen["one reading does"] += reads == words
        seen["many readings of the row"] += reads >= 4 * words > 4
        seen["holes"] += 0 < taking_part < len(row.weights)
        seen["partial last beat"] += len(row.weights) % TINY.lanes > 0
    with capsys.disabled():
        print("\nWTU coverage, of", len(rows), "rows")
        for what, count in seen.items():
            print(f"  {count:5d}  {what}")
    assert all(seen.values()), seen
