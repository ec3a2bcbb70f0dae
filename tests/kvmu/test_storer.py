"""The storer over the emitted Verilog, with its mean unit: all that it does against the model."""

import pytest
from store_drive import CAP, SLOTS, Run

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
    """Two lines a token go in and out at a line a cycle each, whatever the latency of memory."""
    times = {}
    for tokens in (4, 20):
        run = Run()
        head = run.head(chunks_log2)
        assign = [(n % 4, n < 4) for n in range(tokens)]
        run.store(head, run.frame(head, tokens, assign=assign))
        times[tokens] = run.go(latency=6)["marks"][0][1]
    a_token = (times[20] - times[4]) / 16
    assert a_token <= 4 << chunks_log2, times
