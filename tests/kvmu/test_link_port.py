"""The port to the host link, over emitted Verilog, against a link that answers as it is told."""

import functools
import random

import pytest

from vrex_hw.config import CONFIGS
from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.link_port import LinkPort
from vrex_sim import runner
from vrex_sim.benches.link_answers import FAULTS

CONFIG = CONFIGS["tiny"]
LIMIT, DELAY = 400, 40
BENCH = "vrex_sim.benches.link_port"


@functools.cache
def emit():
    return convert(LinkPort(CONFIG), "link_port")


def transfers(rng, count, plans=("good",), *, most=12):
    return [
        {
            "write": rng.randint(0, 1),
            "address": rng.getrandbits(32) - 1000 & (1 << 32) - 1,
            "lines": rng.choice([1, 1, 2, rng.randint(1, most)]),
            "plan": rng.choice(plans),
        }
        for _ in range(count)
    ]


def run(wanted, *, seed=1, idle=0.0, stall=0.0, timed=True, **more):
    given = {
        "limit": LIMIT,
        "epoch": 0,
        "delay": DELAY,
        "dead": [],
        "stale": [],
        **more,
        "timed": timed,
    }
    given |= {"config": CONFIG.to_dict(), "transfers": wanted, "seed": seed}
    return runner.run(emit(), "link_port", BENCH, {**given, "idle": idle, "stall": stall})


@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.3, 0.3), (0, 0.7), (0.7, 0)])
def test_right_answers(idle, stall):
    wanted = transfers(random.Random(3), 150, ("good", "good", "twice", "stray"))
    got = run(wanted, idle=idle, stall=stall, timed=False)
    assert set(got["results"]) == {"NONE"}
    assert got["unknown"] > 20


def test_nothing_is_unknown_of_good_answers():
    got = run(transfers(random.Random(4), 60), idle=0.2, stall=0.2, epoch=0xFFF0)
    assert got["unknown"] == 0 and got["requests"] == 60


@pytest.mark.parametrize("plan", [plan for plan in FAULTS if plan != "good"])
def test_one_wrong_answer(plan):
    """Its fault, that of what is under way with it, and then right lines again."""
    rng = random.Random(plan)
    wanted = transfers(rng, 120)
    for number in range(5, 120, 12):
        write = number % 24 == 5 and plan != "torn"
        wanted[number] |= {"plan": plan, "write": int(write), "lines": rng.randint(2, 6)}
    got = run(wanted, idle=0.2, stall=0.2)
    assert "NONE" in got["results"] and set(FAULTS[plan]) & set(got["results"])


@pytest.mark.parametrize("seed", range(4))
def test_campaign(seed):
    """Every fourth answer is wrong: no line is wrong, no result is missing."""
    rng = random.Random(seed)
    plans = [*FAULTS, *["good"] * 30]
    wanted = transfers(rng, 1000, plans)
    for transfer in wanted:
        if transfer["write"] and transfer["plan"] == "torn":
            transfer["plan"] = "lost"
    got = run(
        wanted, seed=seed, idle=0.1, stall=rng.choice([0, 0.2, 0.5]), epoch=0xFE00 * seed % 0x10000
    )
    assert got["results"].count("NONE") > 200


@pytest.mark.parametrize(("write", "lines"), [(0, 2), (0, 40), (1, 4), (1, 40)])
def test_a_line_a_cycle(write, lines):
    """One transfer behind the other without a pause, if the link makes none."""
    wanted = [{"write": write, "address": 99 * n, "lines": lines, "plan": "good"} for n in range(9)]
    got = run(wanted, delay=0, epoch=7)
    moved = got["sends"] if write else got["lines"]
    assert moved == list(range(moved[0], moved[0] + 9 * lines))


def test_a_second_completion_of_a_transfer_under_way():
    """The first transfer waits for its completion, so the second's other one finds it there."""
    wanted = [{"write": 0, "address": 0, "lines": 1, "plan": plan} for plan in ("mute", "twice")]
    got = run(wanted, delay=0)
    assert got["results"] == ["LINK_LATE"] * 2 and got["unknown"] == 1


def test_a_link_that_takes_nothing():
    """Every transfer ends; when the link comes back it has its packets, and all is well."""
    wanted = transfers(random.Random(8), 60)
    got = run(wanted, idle=0.1, stall=0.2, dead=[(100, 100 + 4 * LIMIT), (3000, 3000 + LIMIT // 2)])
    assert got["results"].count("LINK_LATE") >= 6
    assert got["requests"] < len(wanted)
    assert got["results"][-5:] == ["NONE"] * 5


def test_the_limit_counts_from_when_a_transfer_is_the_oldest():
    wanted = [{"write": 0, "address": 0, "lines": 1, "plan": plan} for plan in ("good", "lost")]
    got = run(wanted, delay=0)
    assert got["results"] == ["NONE", "LINK_LATE"]
    assert got["at"][1] - got["at"][0] == LIMIT + 3


def test_answers_of_before_a_reset():
    """They have the old epoch's tags, which the new epoch's transfers have not."""
    wanted = transfers(random.Random(9), 40)
    got = run(wanted, stall=0.3, idle=0.3, epoch=0x4000, stale=list(range(8)))
    assert set(got["results"]) == {"NONE"} and got["unknown"] >= 16


def test_the_bench_sees_a_wrong_line():
    """With the tags of before the reset in use again, stale lines come through."""
    wanted = [t for t in transfers(random.Random(9), 60) if not t["write"]]
    with pytest.raises(runner.BenchError, match=r"reads 0x|waits for"):
        run(wanted, stall=0.3, idle=0.3, stale=list(range(8)))
