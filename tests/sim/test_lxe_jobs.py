"""Commands of the LXE: the order of what is in their beats, and results read back."""

import dataclasses
import math

import numpy as np
import pytest

from vrex_hw.config import CONFIGS
from vrex_hw.lxe.layouts import Kind, Layouts, ScoreMap
from vrex_hw.vpe.mean import job_layout
from vrex_sim.lxe_jobs import LXEJobs
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
"""Chunks of 8, 12 rows a command, 4 rows a batch of scores, one matrix row a beat."""
D = 12
"""Two chunks, the second half empty."""


def numbered(rows, first=1):
    """Return [rows, D] numbers, no two of them equal."""
    return np.arange(first, first + rows * D, dtype=np.uint16).reshape(rows, D)


def command(beats, config=TINY):
    """Return the fields of the command."""
    assert beats.command.shape[0] == 1
    packed = int.from_bytes(beats.command.tobytes(), "little")
    return Packer(Layouts(config).command).unpack(packed)


def chunk(row, number):
    """Return chunk ``number`` of a row, filled up with zeros."""
    return [*row.tolist(), 0, 0, 0, 0][8 * number : 8 * number + 8]


def words(beats):
    """Return beats' words of 16 bits."""
    return np.ascontiguousarray(beats).view("<u2").tolist()


def activations(rows, limits):
    """Return what the beats of ``activation`` must be, bytes."""
    return b"".join(
        np.array(chunk(row, number), "<u2").tobytes() + int(limit).to_bytes(3, "little")
        for row, limit in zip(rows, limits, strict=True)
        for number in range(2)
    )


def tiles(rows, counts=None):
    """Return what the matrix beats of ``rows`` must be, words: tile, chunk, row."""
    counts = [0] * len(rows) if counts is None else counts
    return [
        [*chunk(rows[r], number), counts[r]]
        for first in range(0, len(rows), 8)
        for number in range(2)
        for r in range(first, min(first + 8, len(rows)))
    ]


def float_bits(number):
    return int(np.float32(number).view(np.uint32))


def test_hash_is_a_command_for_every_twelve_keys():
    keys, planes = numbered(13), numbered(20, first=500)
    first, second = LXEJobs(TINY, D).hash(keys, planes)
    for beats, rows in ((first, keys[:12]), (second, keys[12:])):
        fields = command(beats)
        assert (fields["kind"], fields["rows"]) == (Kind.HASH, len(rows))
        assert (fields["dimension"], fields["columns"]) == (D, 20)
        assert beats.activation.tobytes() == activations(rows, [0] * len(rows))
        assert words(beats.matrix) == tiles(planes)


def test_score_sends_its_matrix_for_every_batch():
    queries, means, counts = numbered(14), numbered(9, first=300), np.arange(40, 49)
    jobs = LXEJobs(TINY, D).score(queries, means, counts.astype(np.uint16), "shift_min", 0.25)
    for beats, rows, batches in zip(jobs, (queries[:12], queries[12:]), (3, 1), strict=True):
        assert command(beats) == {
            "kind": Kind.SCORE,
            "rows": len(rows),
            "dimension": D,
            "columns": 9,
            "scale": float_bits(1 / math.sqrt(D)),
            "map": ScoreMap.SHIFT_MIN,
            "temperature": 0xE,
        }
        assert words(beats.matrix) == tiles(means, counts.tolist()) * batches


@pytest.mark.parametrize(
    ("tokens", "order"),
    [(0, ""), (5, "K0 V0"), (8, "K0 V0"), (9, "K0 K1 V0 V1"), (30, "K0 K1 V0 K2 V1 K3 V2 V3")],
)
def test_attend_brings_keys_a_tile_ahead_of_values(tokens, order):
    queries = numbered(13)
    sources = {"K": numbered(tokens, first=1000), "V": numbered(tokens, first=5000)}
    limits = np.arange(13) + 0x01_0203
    jobs = LXEJobs(TINY, D).attend(queries, sources["K"], sources["V"], limits)
    matrix = []
    for name, tile in order.split():
        matrix += tiles(sources[name][8 * int(tile) : 8 * int(tile) + 8])
    for beats, own in zip(jobs, (slice(12), slice(12, None)), strict=True):
        fields = command(beats)
        assert (fields["kind"], fields["columns"]) == (Kind.ATTEND, tokens)
        assert fields["scale"] == float_bits(math.log2(math.e) / math.sqrt(D))
        assert beats.activation.tobytes() == activations(queries[own], limits[own])
        assert words(beats.matrix) == matrix


def test_a_wider_port_takes_several_rows_a_beat():
    """The last beat of a tile is filled up: a tile never begins in the middle of a beat."""
    config = dataclasses.replace(TINY, lxe=dataclasses.replace(TINY.lxe, load_rows=4))
    means, counts = numbered(10), np.arange(70, 80, dtype=np.uint16)
    (beats,) = LXEJobs(config, D).score(numbered(1), means, counts)
    wanted = []
    for first, height in ((0, 8), (8, 2)):
        for number in range(2):
            for r in range(first, first + height, 4):
                some = range(r, min(r + 4, 10))
                data = [word for row in some for word in chunk(means[row], number)]
                tags = [int(counts[row]) for row in some]
                wanted.append(data + [0] * (32 - len(data)) + tags + [0] * (4 - len(tags)))
    assert words(beats.matrix) == wanted


def test_a_mean_is_a_job_and_its_keys():
    keys = numbered(3)
    job, beats = LXEJobs(TINY, D).mean(keys)
    fields = Packer(job_layout(TINY)).unpack(int.from_bytes(job.tobytes(), "little"))
    assert fields == {"tokens": 3, "dimension": D}
    assert words(beats) == [chunk(row, number) for row in keys for number in range(2)]


def test_results_are_read_back_without_what_fills_them_up():
    jobs, rows = LXEJobs(TINY, D), numbered(3)

    def beat(row, number):
        return np.array([*chunk(row, number), 1], "<u2").view(np.uint8)

    by_rows = np.array([beat(row, number) for row in rows for number in range(2)])
    by_chunks = np.array([beat(row, number) for number in range(2) for row in rows])
    assert np.array_equal(jobs.rows(by_rows, 3), rows)
    assert np.array_equal(jobs.attention(by_chunks), rows)


def test_batches_are_as_large_as_they_may_be():
    jobs = LXEJobs(TINY, D)
    assert [jobs.batches(rows) for rows in (1, 12, 13, 24, 30)] == [
        [1],
        [12],
        [12, 1],
        [12, 12],
        [12, 12, 6],
    ]
