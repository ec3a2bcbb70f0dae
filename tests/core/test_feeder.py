"""The feeder alone: every command, activation and matrix beat is the one that a host would send."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from vrex_hw.config import CONFIGS, Config
from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.layouts import Area, Fault
from vrex_hw.lxe.layouts import Kind
from vrex_sim import runner
from vrex_sim.benches.feed_tops import Front
from vrex_sim.benches.feed_traffic import FeedTraffic

TINY = CONFIGS["tiny"]
COUNT_BYTES = 2


@cache
def verilog(config: Config) -> str:
    return convert(Front(config), "front")


def run(sent: FeedTraffic, *, seed=1, idle=0.3, stall=0.3, latency=12, bad=()):
    """Run it and compare all beats; return what came."""
    given = {"seed": seed, "idle": idle, "stall": stall, "latency": latency, "bad": list(bad)}
    arguments = {**sent.arguments(), **given, "around": False}
    got = runner.run(verilog(sent.config), "front", "vrex_sim.benches.feed", arguments)
    at = {"command": 0, "activation": 0, "matrix": 0}
    for number, (beats, counted) in enumerate(zip(sent.beats, sent.counted, strict=True)):
        for name in at:
            wanted = getattr(beats, name).copy()
            came = got[name][at[name] : at[name] + len(wanted)].copy()
            at[name] += len(wanted)
            assert len(came) == len(wanted), (number, name)
            if name == "matrix":
                wanted[~counted, -COUNT_BYTES:] = came[~counted, -COUNT_BYTES:] = 0
            wrong = np.nonzero((wanted != came).any(axis=1))[0]
            assert not len(wrong), (number, name, wrong[:9], wanted[wrong[0]], came[wrong[0]])
    assert {name: len(got[name]) for name in at} == at
    assert [fed["kind"] for fed in got["fed"]] == [job["feed"]["kind"] for job in sent.jobs]
    return got


def areas(*segments: tuple[str, int, int]) -> list:
    return [(Area[name], slot, count) for name, slot, count in segments]


def mixed(d: int, seed: int, jobs: int, most: int = 20) -> FeedTraffic:
    """Return jobs of all kinds and sizes, some of them empty."""
    sent = FeedTraffic(TINY, d, seed)
    for _ in range(jobs):
        kind, tokens, loose = sent.upto(4), sent.upto(9), sent.upto(3) - 1
        if kind == 1:
            sent.hash(tokens, sent.upto(tokens) - 1, loose)
        elif kind == 2:
            sent.score(tokens, sent.upto(3), sent.upto(TINY.wtu.entries) - 1, loose)
        elif kind == 3 or sent.upto(4) > 1:
            segments = sent.random_segments(most)
            sent.attend(tokens, sent.upto(3), segments, loose, sent.upto(3) - 1)
        else:
            sent.empty(Kind(sent.upto(3) - 1))
    return sent


@pytest.mark.parametrize("d", [3, 8, 16, 32, 64])
def test_jobs_of_all_kinds(d: int) -> None:
    """Every number of chunks; commands of a full batch of rows and of what is left."""
    run(mixed(d, d, 14), seed=d)


def test_memory_that_answers_at_once_and_late() -> None:
    """The order does not depend on when lines come."""
    for seed, (idle, stall, latency) in enumerate(
        [(0, 0, 1), (0, 0, 90), (0.7, 0, 3), (0, 0.7, 3)]
    ):
        run(mixed(16, 90 + seed, 8), seed=seed, idle=idle, stall=stall, latency=latency)


def test_each_area() -> None:
    """First and last slot of each, one token and a full slot."""
    kvmu, slots = TINY.kvmu, TINY.wtu.entries
    full, sent = kvmu.slot_tokens, FeedTraffic(TINY, 16)
    for name, last in (
        ("SINKS", 0),
        ("WINDOW", kvmu.window_slots - 1),
        ("RESIDENT", kvmu.resident_slots - 1),
        ("TRANSIENT", slots - 1),
    ):
        for slot in {0, last}:
            sent.attend(2, 1, areas((name, slot, 1)))
            sent.attend(1, 2, areas((name, slot, full)))
    run(sent)


@pytest.mark.parametrize("d", [8, 32])
def test_tile_borders_at_every_place(d: int) -> None:
    """A border of tiles before, in and behind every token of a segment and of the frame."""
    sent = FeedTraffic(TINY, d)
    for first in range(1, 9):
        sent.attend(5, 1, areas(("SINKS", 0, first), ("WINDOW", 3, 8), ("RESIDENT", 1, 7)), 0, 2)
    run(sent)


def test_nothing_before_the_frame() -> None:
    """The first frame: of one token, of a tile, of more than two."""
    sent = FeedTraffic(TINY, 16)
    for tokens in (1, 7, 8, 9, 16, 21):
        sent.attend(tokens, 1, [])
    run(sent)


def test_rows_that_fill_commands() -> None:
    """One row more or less than commands and batches take; the matrix comes again for each."""
    sent, rows = FeedTraffic(TINY, 16), TINY.lxe.rows
    for tokens, group in ((1, rows - 1), (1, rows), (rows + 1, 1), (5, 5), (2, rows)):
        sent.attend(tokens, group, areas(("SINKS", 0, 3), ("TRANSIENT", 9, 6)))
        sent.score(tokens, group, 19)
        sent.hash(tokens * group + 2, 2)
    run(sent)


def test_jobs_without_rows_or_columns() -> None:
    """They are reported in their turn; scores of no cluster are a command all the same."""
    sent = FeedTraffic(TINY, 16)
    for kind in (Kind.HASH, Kind.SCORE, Kind.ATTEND):
        sent.empty(kind)
        sent.score(3, 2, 0)
        sent.attend(2, 2, areas(("WINDOW", 5, 4)))
        sent.empty(kind)
        sent.empty(kind)
    run(sent)
    run(sent, idle=0, stall=0, latency=1)


def test_segments_without_tokens_are_not_kept() -> None:
    sent = FeedTraffic(TINY, 16)
    sent.attend(2, 1, areas(("SINKS", 0, 0), ("WINDOW", 5, 4), ("RESIDENT", 0, 0)))
    run(sent)


def test_a_read_error_is_of_its_job_alone() -> None:
    """In activations, in counts, in a matrix; the data go on."""
    sent = FeedTraffic(TINY, 16)
    for _ in range(3):
        sent.hash(3)
        sent.score(3, 1, 12)
        sent.attend(2, 1, areas(("WINDOW", 5, 4)))
    feeds = [job["feed"] for job in sent.jobs]
    counts = feeds[4]["state"] + sent.regions.counts + 1
    bad = [feeds[0]["address"] + 3, counts, feeds[8]["v"]]
    got = run(sent, bad=bad)
    faults = [fed["fault"] for fed in got["fed"]]
    assert faults == [Fault.MEMORY_READ * (n in (0, 4, 8)) for n in range(9)]


def test_a_line_a_cycle() -> None:
    """Clusters of ten tokens, a memory 40 cycles away: from burst to burst, and to the next job."""
    config = dataclasses.replace(
        TINY,
        lxe=dataclasses.replace(TINY.lxe, side=16),
        kvmu=dataclasses.replace(TINY.kvmu, slot_tokens=16, bus_bytes=8),
    )
    sent = FeedTraffic(config, 32)
    for _ in range(2):
        slots = [(Area.TRANSIENT, slot, 7 + slot % 7) for slot in range(0, 64)]
        sent.attend(8, 1, slots)
        sent.score(8, 1, 64)
    got = run(sent, idle=0, stall=0, latency=40)
    cycles = got["matrix_cycle"]
    assert len(cycles) / (cycles[-1] - cycles[0] + 1) >= 0.97
