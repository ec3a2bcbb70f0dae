"""The storer over the emitted Verilog, with its mean unit: all that it does against the model."""

import numpy as np
import pytest
from play import Play
from store_drive import CAP, CONFIG, SLOTS, Run

from vrex_hw.kvmu.storer.sealer import Sealer
from vrex_hw.vpe.mean import DIVISION, ROUND_TRIP

PACES = [(0, 0, 0), (0.3, 0.3, 12), (0.6, 0, 3), (0, 0.7, 40)]


@pytest.mark.parametrize(("idle", "stall", "latency"), PACES)
def test_frames_of_several_heads(idle, stall, latency):
    """Frames in a row with their state kept, heads of every number of chunks by turns."""
    run = Run(seed=latency)
    heads = [run.head(chunks_log2) for chunks_log2 in (0, 1, 2, 3, 1)]
    for turn in range(7):
        for head in heads:
            skip = 4 if turn == 0 else 0
            tokens = run.random.randint(skip or 1, 12)
            run.store(head, run.cluster(head, tokens, skip=skip, stride=head.chunks + turn % 3))
    assert sum(len(stored.map) for stored in run.expected) > 20
    run.go(idle=idle, stall=stall, latency=latency, seed=latency)


def one_of_each(run, head, tokens):
    """Open a cluster for each of some tokens."""
    first = head.opened
    return run.frame(head, tokens, assign=[(first + n, True) for n in range(tokens)])


def test_a_frame_of_sinks_alone():
    run = Run()
    head = run.head()
    run.store(head, run.frame(head, 3, skip=3))
    run.store(head, run.frame(head, 1, skip=1))
    run.store(head, run.cluster(head, 5, skip=2))
    run.store(head, run.cluster(head, 5))
    got = run.go(idle=0.3, stall=0.3, latency=5)
    assert [mark[0]["opened"] for mark in got["marks"]][:2] == [0, 0]


def test_sinks_to_the_last_place_of_their_slot():
    run = Run()
    head = run.head()
    run.store(head, run.frame(head, CAP - 1, skip=CAP - 1))
    frame = run.frame(head, 4, skip=1, assign=[(0, True), (0, False), (1, True)])
    run.store(head, frame)
    run.go(idle=0.3, stall=0.3, latency=5)


def test_nothing_is_sealed():
    run = Run()
    head = run.head(3)
    for _ in range(3):
        run.store(head, run.cluster(head, 6, window=100))
    got = run.go(latency=5)
    assert not len(got["transfers"]) and not got["map"]


@pytest.mark.parametrize("chunks_log2", [0, 3])
def test_all_slots_are_sealed_at_once(chunks_log2):
    """Eight clusters of one token each, seven of them from the frame before."""
    run = Run()
    head = run.head(chunks_log2)
    run.store(head, one_of_each(run, head, SLOTS - 1))
    last = one_of_each(run, head, 1)
    last.trailer = SLOTS
    run.store(head, last)
    run.store(head, one_of_each(run, head, 2))
    got = run.go(idle=0.2, stall=0.4, latency=8)
    assert [lines for _, lines in got["transfers"].tolist()] == [2 << chunks_log2] * SLOTS


def test_a_cluster_to_the_cap_is_sealed_where_it_was_opened():
    run = Run()
    head = run.head(2)
    frame = run.frame(head, CAP, assign=[(0, n == 0) for n in range(CAP)], trailer=1)
    run.store(head, frame)
    got = run.go()
    assert got["transfers"].tolist() == [[head.host, CAP * 8]]


@pytest.mark.parametrize("chunks_log2", [0, 1])
def test_a_count_is_that_of_the_token_before(chunks_log2):
    """Tokens in a row join the same cluster, just opened or of a frame before, or two by turns."""
    run = Run()
    head = run.head(chunks_log2)
    frames = [
        [(0, True), (0, False), (0, False)],
        [(0, False), (0, False), (1, True), (1, False), (0, False), (1, False), (0, False)],
        [(2, True), (1, False), (2, False), (2, False), (1, False), (1, False)],
    ]
    for assign in frames:
        run.store(head, run.frame(head, len(assign), assign=assign))
    last = run.frame(head, 1, assign=[(0, False)], trailer=3)
    run.store(head, last)
    got = run.go()
    assert [entry["count"] for _, entry in got["map"]] == [8, 6, 3]


def test_the_window_goes_round_many_times():
    """Every slot is used again and again; the map and the means are filled to the last entry."""
    run = Run()
    head = run.head(0)
    for _ in range(6):
        frame = one_of_each(run, head, 5)
        frame.trailer = head.opened + 4
        run.store(head, frame)
    frame = one_of_each(run, head, 2)
    frame.trailer = 32
    run.store(head, frame)
    got = run.go(idle=0.2, stall=0.2, latency=3)
    assert [number for number, _ in got["map"]] == list(range(32))


def test_the_index_of_a_first_token_wraps():
    run = Run()
    head = run.head(0)
    head.tokens = 65534
    run.store(head, one_of_each(run, head, 4))
    got = run.go()
    assert [entry["first"] for _, entry in got["entries"]] == [65534, 65535, 0, 1]


def test_keys_that_are_not_numbers():
    """Any bits at all are moved as they are; the mean is the reference's."""
    run = Run()
    head = run.head(2)
    for _ in range(3):
        run.store(head, run.cluster(head, 8, kind="any", window=6))
    run.go()


@pytest.mark.parametrize("chunks_log2", [0, 1, 2, 3])
def test_rates(chunks_log2):
    """Where nothing waits: the cycles that the page states, of a token and of a sealed cluster."""
    run = Run()
    jobs = [(4, 0), (4, 0), (20, 0), (20, 1), (20, 2), (20, 3)]
    for tokens, sealed in jobs:
        head = run.head(chunks_log2)
        assign = [(n % 4, n < 4) for n in range(tokens)]
        run.store(head, run.frame(head, tokens, assign=assign, trailer=sealed))
    ends = [mark[1] for mark in run.go()["marks"]]
    few, many, one, two, three = np.diff(ends).tolist()
    chunks = 1 << chunks_log2
    assert many - few == 16 * 2 * chunks
    assert three - two == two - one
    # Five tokens; the mean unit's division is longer than the next cluster's reading.
    keys = 5 * max(ROUND_TRIP, 2 * chunks)
    assert keys + chunks * DIVISION <= two - one <= keys + chunks * (DIVISION + 1) + 4
    assert one - many == two - one + 5


def test_reads_hide_the_latency_of_memory():
    """A late answer costs its latency once, not once a token."""
    times = {}
    for latency in (0, 24):
        run = Run()
        head = run.head(1)
        assign = [(n % 4, n < 4) for n in range(30)]
        run.store(head, run.frame(head, 30, assign=assign))
        times[latency] = run.go(latency=latency)["marks"][0][1]
    assert times[24] - times[0] <= 3 * 24, times


@pytest.mark.parametrize("chunks_log2", [0, 2])
def test_a_sealer_asks_for_a_line_a_cycle(chunks_log2):
    """2 * chunks * n + 3 cycles a cluster, where nobody else is waited for."""
    unit = Sealer(CONFIG)
    play = Play(unit)
    counts = [3, 1, 8, 5]
    requests, asked = play.drain(unit.request), []
    for offer in (unit.transfer, unit.mean_job, unit.task):
        play.drain(offer)

    async def watch(ctx):
        cycle, before = 0, 0
        while True:
            await ctx.tick()
            cycle += 1
            asked.extend([cycle] * (len(requests) - before))
            before = len(requests)
            if ctx.get(unit.open.read):
                address = ctx.get(unit.open.address)
                await ctx.tick()
                cycle += 1
                asked.extend([cycle] * (len(requests) - before))
                before = len(requests)
                ctx.set(unit.open.data.count, counts[address] if address < len(counts) else 0)

    async def testbench(ctx):
        ctx.set(unit.job.host_tokens, 100)
        ctx.set(unit.job.chunks_log2, chunks_log2)
        ctx.set(unit.target, len(counts))
        ctx.set(unit.start, 1)
        await ctx.tick()
        ctx.set(unit.start, 0)
        await play.until(ctx, lambda: not ctx.get(unit.busy))
        await ctx.tick()

    play.beside(watch)
    play.run(testbench)
    lines = [(2 << chunks_log2) * count for count in counts]
    assert len(requests) == sum(lines)
    firsts = [asked[sum(lines[:n])] for n in range(len(lines))]
    assert np.diff(firsts).tolist() == [3 + count for count in lines[:-1]]
