"""From memory through feeder, LXE and writer to memory: what lies there is the reference's."""

from functools import cache

import numpy as np
import pytest

from vrex_hw.config import CONFIGS, Config
from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.layouts import Area, Fault
from vrex_sim import runner
from vrex_sim.benches.feed_tops import Front
from vrex_sim.benches.feed_traffic import FeedTraffic
from vrex_sim.benches.lxe_traffic import GARBAGE

TINY = CONFIGS["tiny"]


@cache
def verilog(config: Config) -> str:
    return convert(Front(config, around=True), "around")


def run(sent: FeedTraffic, *, seed=1, idle=0.3, stall=0.3, latency=12, bad=(), fault=Fault.NONE):
    """Run it; compare hash bits, weights and every element in memory; return what came."""
    given = {"seed": seed, "idle": idle, "stall": stall, "latency": latency, "bad": list(bad)}
    arguments = {**sent.arguments(), **given, "around": True}
    got = runner.run(verilog(sent.config), "around", "vrex_sim.benches.feed", arguments)
    # Attention is compared in memory; the mean unit has nothing to do here.
    none = {name: np.zeros((0, 2 * sent.side + 1), np.uint8) for name in ("attention", "mean")}
    sent.wanted.check({**got, **none})
    lines: dict[int, dict[int, int]] = {}
    for (line, place), element in zip(got["places"].tolist(), got["elements"], strict=True):
        lines.setdefault(line, {})[place] = int(element)
    wanted = {
        line: dict(enumerate(np.frombuffer(live, np.uint16).tolist()))
        for line, live in sent.written.items()
    }
    wrong = [line for line in wanted.keys() | lines.keys() if wanted.get(line) != lines.get(line)]
    assert not wrong, [(line, wanted.get(line), lines.get(line)) for line in sorted(wrong)[:4]]
    assert all(fed["fault"] == Fault.NONE for fed in got["fed"])
    if fault == Fault.NONE:
        assert not any(got["written"])
    return got


def mixed(d: int, seed: int, jobs: int) -> FeedTraffic:
    """Return all kinds in turn, with a NaN in every place that has no meaning."""
    sent = FeedTraffic(TINY, d, seed, filler=GARBAGE)
    for number in range(jobs):
        tokens, group, loose = sent.upto(8), sent.upto(3), sent.upto(3) - 1
        if number % 3 == 0:
            sent.hash(tokens, sent.upto(tokens) - 1, loose)
        elif number % 3 == 1:
            sent.score(tokens, group, sent.upto(TINY.wtu.entries), loose)
        else:
            sent.attend(tokens, group, sent.random_segments(12), loose, loose)
    return sent


@pytest.mark.parametrize("d", [5, 16, 64])
def test_jobs_of_all_kinds(d: int) -> None:
    """Part of a chunk, two and eight; what lies past d is not written."""
    run(mixed(d, d, 12), seed=d)


def test_without_a_pause() -> None:
    """Everything at once: a command follows another without a bubble."""
    run(mixed(32, 7, 9), idle=0, stall=0, latency=1)


def test_rows_of_several_commands() -> None:
    """Heads begin and end in the middle of a command; one row; exactly a command."""
    sent, rows = FeedTraffic(TINY, 16), TINY.lxe.rows
    for tokens, group in ((1, 1), (5, 5), (rows, 1), (1, rows + 1), (rows + 3, 2)):
        sent.attend(tokens, group, [(Area.RESIDENT, 1, 6)], loose=3)
    run(sent)


def test_faults_of_writes_are_of_their_job_alone() -> None:
    """An error; a line past the region, which is not written; the first of several is told."""
    sent = FeedTraffic(TINY, 16)
    for _ in range(5):
        sent.attend(3, 2, [(Area.SINKS, 0, 4)])
    writes = [job["write"] for job in sent.jobs]
    writes[3]["size"] -= 2  # the last two lines: a row's end and the spare one
    last = writes[3]["base"] + writes[3]["size"]
    del sent.written[last]
    bad = [writes[1]["out"] + 2, writes[3]["out"]]
    got = run(sent, bad=bad, fault=Fault.MEMORY_WRITE)
    wanted = [Fault.NONE, Fault.MEMORY_WRITE, Fault.NONE, Fault.MEMORY_WRITE, Fault.NONE]
    assert got["written"] == wanted


def test_a_write_outside_alone() -> None:
    """The base above the first line."""
    sent = FeedTraffic(TINY, 16)
    sent.attend(3, 2, [(Area.SINKS, 0, 4)])
    write = sent.jobs[0]["write"]
    write["base"] += 2
    del sent.written[write["out"]]
    got = run(sent, fault=Fault.OUT_OF_BOUNDS)
    assert got["written"] == [Fault.OUT_OF_BOUNDS]
