"""The retriever over its emitted Verilog, job after job, against the reference."""

import random

import pytest
from retriever_jobs import HOST_TOKENS, Head, Job, walk

from vrex.residency import Policy
from vrex_hw.config import CONFIGS, Config, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.kvmu.layouts import MAP_ENTRY, Area

EVERY = list(range(60))
LRU, FREQUENCY = Policy


@pytest.mark.parametrize("policy", Policy)
def test_a_stream(policy):
    """Hits, free slots, victims and transient slots; the room grows and shrinks on the way."""
    jobs = list(walk(random.Random(int(policy)), 48, cap=8))
    for number, job in enumerate(jobs):
        job.room, job.policy = [2, 5, 8, 3][number // 12], policy
    results = Head(seed=10 + policy).run(jobs)
    areas = [segment[0] for result in results for segment in result["segments"]]
    assert {Area.RESIDENT, Area.TRANSIENT} == set(areas)
    assert results[-1]["counters"][1] > 20, "too few hits to tell"


@pytest.mark.parametrize(("idle", "stall", "latency"), [(0, 0, 0), (0, 0.8, 3), (0.8, 0, 200)])
def test_any_pace(idle, stall, latency):
    """Nobody ever waits; everybody does; the host and memory are far away."""
    jobs = list(walk(random.Random(7), 12, cap=8))
    Head(seed=2, chunks_log2=1).run(jobs, idle=idle, stall=stall, latency=latency)


def test_nothing_to_do():
    """No cluster is sealed, or none chosen."""
    head = Head()
    results = head.run([Job([]), Job([], new=[3, 4]), Job([]), Job([1]), Job([])])
    assert [len(result["segments"]) for result in results] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("sealed", [1, 2, 3, 4, 63, 64])
def test_sealed_clusters_end_anywhere_in_a_word(sealed):
    """The last entries are chosen, those behind them hold anything and stay as they are."""
    counts = [1 + k % 8 for k in range(sealed)]
    everything = list(range(sealed))
    jobs = [Job(everything, new=counts), Job([sealed - 1]), Job(everything, room=1), Job([0])]
    Head(seed=sealed).run(jobs)


def test_everything_is_chosen_and_stays():
    """Eight clusters in eight slots: all come at once, then all are hits."""
    counts = [8, 1, 8, 2, 3, 8, 8, 1]
    jobs = [Job(EVERY[:8], new=counts, room=8), *[Job(EVERY[:8], room=8)] * 2]
    results = Head().run(jobs)
    assert results[2]["counters"] == [24, 16, len(results[0]["requests"]), 39, 117]


@pytest.mark.parametrize(("room", "transient"), [(0, 12), (1, 11), (8, 4), (9, 4), (0xFFFF, 4)])
def test_room(room, transient):
    """None, one slot, all there are; more is as much as there are."""
    result = Head().run([Job(EVERY[:12], new=[2] * 12, room=room)])[0]
    assert [segment[0] for segment in result["segments"]].count(Area.TRANSIENT) == transient


def test_no_victim_while_all_that_stay_are_chosen():
    """Residents that the job has chosen do not give way to what it fetches."""
    jobs = [Job([0, 1], new=[4] * 6, room=2, policy=LRU), Job([0, 1, 2, 3], room=2, policy=LRU)]
    result = Head().run(jobs)[1]
    assert [segment[:2] for segment in result["segments"]] == [[2, 0], [2, 1], [3, 0], [3, 1]]


def test_of_equal_ones_the_lowest_gives_way():
    """Three clusters, in two words, that were chosen together go in their order."""
    jobs = [
        Job(one, new=[4] * 6 if number == 0 else [], room=3, policy=LRU)
        for number, one in enumerate([[1, 2, 3], [4], [5]])
    ]
    results = Head().run(jobs)
    slots = [[segment[1] for segment in result["segments"]] for result in results]
    assert slots == [[0, 1, 2], [0], [1]]


def test_the_one_chosen_longest_ago_gives_way():
    """LRU: of 0, 1, 2 in three slots 1 goes, then 0, in the end two at once."""
    chosen = [[0, 1, 2], [0], [2], [3], [4], [], [5, 6]]
    jobs = [
        Job(one, new=[4] * 7 if number == 0 else [], room=3, policy=LRU)
        for number, one in enumerate(chosen)
    ]
    results = Head().run(jobs)
    slots = [[segment[1] for segment in result["segments"]] for result in results]
    assert slots == [[0, 1, 2], [0], [2], [1], [0], [], [2, 1]]


def test_a_favourite_is_not_given_up_for_a_stranger():
    """FREQUENCY: a cluster chosen four times outlasts one chosen once; LRU gives it up."""
    chosen = [[0], [0], [0], [0], [1]]
    for policy, area in ((LRU, Area.RESIDENT), (FREQUENCY, Area.TRANSIENT)):
        jobs = [
            Job(one, new=[4, 4] if number == 0 else [], room=1, policy=policy)
            for number, one in enumerate(chosen)
        ]
        assert Head().run(jobs)[-1]["segments"][0][0] == area


@pytest.mark.parametrize("chunks_log2", [0, 1, 2, 3])
def test_requests(chunks_log2):
    """Runs of any length and gaps, for every number of chunks: cut where a request is full.

    With eight chunks a cluster of five tokens or more is larger than a request alone.
    """
    rng = random.Random(chunks_log2)
    counts = [rng.choice([1, 4, 8, 8]) for _ in range(40)]
    gaps = [k for k in range(40) if k % 7 and k % 11]
    jobs = [Job(EVERY[:40], new=counts, room=0), Job(gaps, room=0), Job(EVERY[:40:2], room=3)]
    results = Head(chunks_log2=chunks_log2).run(jobs)
    lengths = {lines for result in results for _, lines in result["requests"]}
    assert 64 in lengths and max(lengths) == 64


def test_a_cluster_that_just_fits_its_request_and_its_region():
    """Requests of exactly 64 lines, the last of them up to the region's last token."""
    counts = [8, 8, 8, 8, 8]
    result = Head(host_tokens=40).run([Job(EVERY[:5], new=counts)])[0]
    assert [lines for _, lines in result["requests"]] == [64, 16]


def test_a_hit_between_two_that_are_fetched_parts_their_requests():
    """Tokens that are there already are not asked for again."""
    jobs = [Job([1], new=[2, 2, 2]), Job([0, 1, 2])]
    result = Head().run(jobs)[1]
    assert [lines for _, lines in result["requests"]] == [4, 4]


def test_another_size():
    """Four entries a word, deep slots, one chunk alone."""
    config = Config(
        name="other",
        head_dims=(16,),
        wtu=WTUConfig(lanes=4, entries=32),
        lxe=LXEConfig(side=16, rows=4, score_rows=2),
        kvmu=KVMUConfig(bus_bytes=32, slot_tokens=16, resident_slots=4, request_lines=128),
    )
    jobs = list(walk(random.Random(3), 16, cap=16, sealed=30))
    Head(config=config).run(jobs)


def test_cycles():
    """A pass of a word and a beat a cycle, two cycles a hit: as stated."""
    jobs = [Job(EVERY[:8], new=[1] * 64, room=8), Job(EVERY[:8], room=8), Job([], room=8)]
    results = Head().run(jobs, idle=0, stall=0, latency=0)
    words = 64 * MAP_ENTRY.size // 128
    assert results[1]["cycles"] <= words + 9 + (words - 4) + 4 * 2 + 8 * 2 + 14
    assert results[2]["cycles"] <= words + 1 + words + 14
    assert CONFIGS["tiny"].kvmu.resident_slots == 8 and HOST_TOKENS > 64
