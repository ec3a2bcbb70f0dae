"""The score path, over the emitted Verilog, against the reference's weights."""

import functools

import numpy as np
import pytest
import torch

from resv_ref.numerics.maps import weights
from vrex import Params
from vrex_hw.config import CONFIGS, Config, HCUConfig, LXEConfig, WTUConfig
from vrex_hw.hierarchy import convert
from vrex_hw.lxe.layouts import ScoreMap
from vrex_hw.lxe.scores import Scores
from vrex_sim import runner


def sized(name, side, load_rows, lanes, entries, rows):
    return Config(
        name=name,
        hcu=HCUConfig(joinable=16, open=64),
        wtu=WTUConfig(lanes=lanes, entries=entries, candidates=4),
        lxe=LXEConfig(side=side, load_rows=load_rows, rows=max(2, rows), score_rows=rows),
    )


SIZES = {
    "tiny": CONFIGS["tiny"],
    "whole_words": sized("whole_words", 4, 2, 4, 32, 3),
    "narrow": sized("narrow", 16, 4, 1, 8, 1),
}
"""Words of two beats; of one; words longer than the longest row, of which there is one."""


@functools.cache
def emit(config):
    """Return the Verilog, and the latency that the unit states."""
    unit = Scores(config)
    return convert(unit, "scores"), unit.latency


def gaussian(rng, shape):
    return rng.normal(0, 3, shape).astype(np.float32)


def ties(rng, shape):
    return rng.choice([-1.5, 0.0, -0.0, 2.25], shape).astype(np.float32)


def wide(rng, shape):
    return (rng.normal(0, 1, shape) * 2.0 ** rng.integers(-140, 120, shape)).astype(np.float32)


def poisoned(rng, shape):
    """Non-finite scores here and there, and now and then a whole row of them."""
    values = gaussian(rng, shape)
    share = rng.choice([0.1, 0.9, 1.0], (shape[0], 1))
    bad = rng.choice(np.array([np.nan, np.inf, -np.inf, -np.nan], np.float32), shape)
    return np.where(rng.random(shape) < share, bad, values)


def negative(rng, shape):
    return -np.abs(gaussian(rng, shape))


def huge(rng, shape):
    """Differences that overflow, in some of the rows."""
    values = rng.normal(0, 1, shape) * 2.0 ** rng.integers(110, 128, shape)
    values = np.clip(values, -3.4e38, 3.4e38).astype(np.float32)
    return np.where(rng.random((shape[0], 1)) < 0.7, values, gaussian(rng, shape))


KINDS = (gaussian, ties, wide, poisoned, negative, huge)


def make_batch(rng, score_map, kind, rows, columns, temperature=0, order="tiles"):
    scores = kind(rng, (rows, columns))
    params = Params(score_map=score_map.name.lower(), score_temperature=2.0**temperature)
    fields = {
        "columns": columns,
        "map": int(score_map),
        "temperature": temperature,
        "order": order,
        "garbage": 0,
    }
    expected = weights(torch.from_numpy(scores), params).numpy().astype(np.uint16)
    counts = rng.integers(0, 1 << 16, columns, dtype=np.uint16)
    return fields, scores.view(np.uint32), counts, expected


def simulate(config, batches, *, seed=1, idle=0.0, stall=0.0, ahead=1, reset=0):
    given = {
        "config": config.to_dict(),
        "seed": seed,
        "idle": idle,
        "stall": stall,
        "ahead": ahead,
        "reset": reset,
        "batches": [fields for fields, *_ in batches],
    }
    for number, (_, scores, counts, expected) in enumerate(batches):
        given |= {
            f"scores_{number}": scores,
            f"counts_{number}": counts,
            f"weights_{number}": expected,
        }
    return runner.run(emit(config)[0], "scores", "vrex_sim.benches.scores", given)


def lengths(config):
    lanes, side, entries = config.wtu.lanes, config.lxe.side, config.wtu.entries
    around = {0, 1, lanes - 1, lanes, lanes + 1, side - 1, side, side + 1, entries - 1, entries}
    return sorted(length for length in around if length <= entries)


@pytest.mark.parametrize("size", SIZES)
def test_every_map_and_length(size):
    """Every length under every map, both banks in flight, sources and sinks that wait."""
    config = SIZES[size]
    rng = np.random.default_rng(len(size))
    batches = []
    for score_map in ScoreMap:
        for number, columns in enumerate(lengths(config)):
            rows = rng.integers(1, config.lxe.score_rows, endpoint=True)
            kind = KINDS[(number + score_map) % len(KINDS)]
            order = ("tiles", "rows")[number % 2]
            temperature = int(rng.integers(-4, 5))
            batches.append(make_batch(rng, score_map, kind, rows, columns, temperature, order))
    simulate(config, batches, idle=0.3, stall=0.3)


@pytest.mark.parametrize("stall", [0.0, 0.7])
def test_every_kind_and_temperature(stall):
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(7)
    batches = []
    for kind in KINDS:
        for temperature in range(-4, 5):
            batches.append(make_batch(rng, ScoreMap.EXP, kind, 2, 27, temperature))
        for score_map in (ScoreMap.SHIFT_MIN, ScoreMap.RELU):
            batches.append(make_batch(rng, score_map, kind, 4, 43))
    rng.shuffle(batches)
    simulate(config, batches, stall=stall)


@pytest.mark.parametrize("columns", [3, 16, 64])
def test_a_beat_a_cycle_from_row_to_row_and_batch_to_batch(columns):
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(columns)
    batches = [make_batch(rng, score_map, gaussian, 4, columns) for score_map in ScoreMap][:2]
    got = simulate(config, batches, ahead=2)
    assert np.array_equal(np.diff(got["beats"]), np.ones(8 * -(-columns // 4) - 1))
    assert got["beats"][0] - got["drains"][0] == emit(config)[1]


def test_a_row_too_long_keeps_its_beats():
    """The WTU refuses it by its length; the batch after it is whole again."""
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(8)
    long = make_batch(rng, ScoreMap.EXP, gaussian, 2, 64 + 9)
    long[0]["garbage"] = 1
    simulate(config, [long, make_batch(rng, ScoreMap.EXP, gaussian, 4, 64), long], stall=0.2)


@pytest.mark.parametrize("cycles", [1, 9, 18, 24])
def test_a_reset_leaves_nothing_behind(cycles):
    """With beats in the memory, the lanes and the search for a row's largest difference."""
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(cycles)
    batches = [make_batch(rng, ScoreMap.SHIFT_MIN, huge, 4, columns) for columns in (5, 64)]
    simulate(config, batches, reset=cycles)
