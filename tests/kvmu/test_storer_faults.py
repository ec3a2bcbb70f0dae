"""When something is amiss the storer tells it and does not hang; the next job is well."""

import numpy as np
import pytest
from store_drive import CAP, SLOTS, Run

from vrex_hw.kvmu.layouts import Fault

OUT_OF_BOUNDS = Fault.OUT_OF_BOUNDS
PACES = [{}, {"idle": 0.3, "stall": 0.4, "latency": 9}]


@pytest.fixture(params=PACES, ids=["fast", "slow"])
def finish(request):
    """Runs what a test has made, with jobs of another head behind it."""

    def go(run, *faults):
        """``faults``: those of the jobs that end in one."""
        other = run.head(2)
        for _ in range(3):
            run.store(other, run.cluster(other, 7, window=6))
        assert [e.fault for e in run.expected if e.fault] == list(faults), "the model"
        return run.go(**request.param)

    return go


def begun(run, *, chunks_log2=1, tokens=6):
    """Return a head with three clusters of two tokens."""
    head = run.head(chunks_log2)
    assign = [(n // 2, n % 2 == 0) for n in range(tokens)]
    run.store(head, run.frame(head, tokens, assign=assign))
    return head


ASSIGNMENTS = {
    "join of one not opened": ([(2, False), (3, False)], OUT_OF_BOUNDS),
    "join of one long before": ([(0, False), (65535, False)], OUT_OF_BOUNDS),
    "open of one too far": ([(3, True), (5, True), (4, True)], OUT_OF_BOUNDS),
    "open of one that is": ([(2, True)], OUT_OF_BOUNDS),
    "join of a full one": ([(1, False)] * (CAP - 1), OUT_OF_BOUNDS),
    "too many tokens": ([(1, False)] * 4, OUT_OF_BOUNDS),
    "too few tokens": ([(1, False)] * 2, OUT_OF_BOUNDS),
    "no token": ([], OUT_OF_BOUNDS),
    "one cluster too many": ([(n, True) for n in range(3, SLOTS + 1)], Fault.WINDOW_FULL),
}


def test_assignments(finish):
    run = Run()
    for name, (assign, _) in ASSIGNMENTS.items():
        head = begun(run)
        tokens = 3 if "token" in name else len(assign)
        run.store(head, run.frame(head, tokens, assign=assign, trailer=1))
    finish(run, *[fault for _, fault in ASSIGNMENTS.values()])


def test_a_trailer_beyond_what_is_open(finish):
    run = Run()
    for trailer in (4, 65535):
        head = begun(run)
        run.store(head, run.frame(head, 1, assign=[(0, False)], trailer=trailer))
    finish(run, OUT_OF_BOUNDS, OUT_OF_BOUNDS)


def test_a_trailer_behind_what_is_sealed(finish):
    run = Run()
    head = begun(run)
    run.store(head, run.frame(head, 1, assign=[(2, False)], trailer=2))
    run.store(head, run.frame(head, 1, assign=[(2, False)], trailer=1))
    finish(run, OUT_OF_BOUNDS)


def test_the_hcu_refuses(finish):
    """Not even the sinks are stored, and the hash bits of the frame are taken."""
    run = Run()
    for skip in (0, 2):
        head = run.head()
        run.store(head, run.frame(head, 9, skip=skip, refused=True))
    got = finish(run, Fault.WINDOW_FULL, Fault.WINDOW_FULL)
    assert got["marks"][1][2] == [0] * 5


def test_sinks_outside_of_their_slot(finish):
    run = Run()
    head = run.head()
    run.store(head, run.frame(head, 6, skip=6))
    run.store(head, run.frame(head, 3, skip=3))
    for start in (CAP, 3 << 20):
        head = run.head()
        head.tokens = start
        assign = [(n, True) for n in range(3)]
        run.store(head, run.frame(head, 5, skip=2, assign=assign, trailer=1))
    finish(run, *[OUT_OF_BOUNDS] * 3)


def test_as_many_clusters_as_there_are_numbers(finish):
    run = Run()
    head = run.head()
    head.sealed, head.opened = 65533, 65534
    head.entries[65533 % SLOTS] = {"hash": 5, "first": 7, "count": 2}
    run.store(head, run.frame(head, 2, assign=[(65534, True), (65533, False)], trailer=65533))
    run.store(head, run.frame(head, 2, assign=[(65535, True), (65533, False)], trailer=65533))
    finish(run, Fault.STATE_FULL)


def test_more_sealed_clusters_than_entries(finish):
    run = Run()
    head = run.head()
    head.sealed = head.opened = 31
    assign = [(31, True), (32, True), (31, False)]
    run.store(head, run.frame(head, 3, assign=assign, trailer=33))
    finish(run, Fault.STATE_FULL)


def test_the_host_is_full(finish):
    """Clusters of two tokens: as many are sealed as there is room for."""
    run = Run()
    rooms = (5, 4, 3, 1, 0)
    for room in rooms:
        head = run.head(1, host_tokens=room)
        assign = [(n // 2, n % 2 == 0) for n in range(6)]
        run.store(head, run.frame(head, 6, assign=assign, trailer=3))
    got = finish(run, *[Fault.HOST_FULL] * len(rooms))
    sealed = [mark[2][3] for mark in got["marks"]]
    assert sealed[: len(rooms)] == [2, 4, 5, 5, 5]


def test_a_count_that_is_none(finish):
    """An entry as no store leaves it."""
    run = Run()
    counts = (0, CAP + 1, 511, 512 + 2)
    for count in counts:
        head, other = begun(run), run.head()
        head.entries[1]["count"] = count
        run.store(other, run.frame(other, 1, skip=1))
        run.store(head, run.frame(head, 1, assign=[(2, False)], trailer=3))
    finish(run, *[OUT_OF_BOUNDS] * len(counts))


KINDS = {
    "read": Fault.MEMORY_READ,
    "write": Fault.MEMORY_WRITE,
    "outside": OUT_OF_BOUNDS,
    "link": Fault.LINK_ERROR,
}


@pytest.mark.parametrize("kind", KINDS)
def test_memory_and_link(finish, kind):
    """Six tokens of four lines are stored, then three clusters sealed, of four, six and two."""
    run = Run()
    lines = {"read": 48, "write": 33, "outside": 33, "link": 3}[kind]
    for number in range(lines):
        head = run.head(1)
        assign = [(0, True), (1, True), (0, False), (1, False), (1, False), (2, True)]
        frame = run.frame(head, 6, assign=assign, trailer=3, faults={kind: number})
        run.store(head, frame, KINDS[kind])
    marks = finish(run, *[KINDS[kind]] * lines)["marks"][:lines]
    counts = np.diff([[0] * 5, *(mark[2] for mark in marks)], axis=0).tolist()
    for number, (writes, transfers, given, _, _) in enumerate(counts):
        # What is written is a right beginning (the driver compares it); this is how far it goes.
        placed = writes >= 24
        assert placed or not transfers, "nothing is sealed before all is stored"
        assert given == sum([8, 12, 4][:transfers]), "each transfer gets its lines"
        if kind == "read":
            assert placed if number >= 24 else writes <= number, "no line that could not be read"
        elif kind == "link":
            assert placed and transfers > number
        else:
            assert writes > number and placed == (number >= 24 or writes == 24)


def test_the_first_fault_is_told(finish):
    """A read that fails, then an assignment that cannot be: nothing of the frame is sealed."""
    run = Run()
    head = run.head(0)
    assign = [(n, True) for n in range(SLOTS)] + [(0, True)]
    frame = run.frame(head, SLOTS + 1, assign=assign, trailer=SLOTS, faults={"read": 0})
    run.store(head, frame, Fault.MEMORY_READ)
    other = run.head(3)
    assign = [(0, True), (3, True)] + [(0, False)] * 8
    # The line comes when there is room for it: when those of the tokens before have been dropped.
    frame = run.frame(other, 10, assign=assign, trailer=1, faults={"read": 100})
    run.store(other, frame)
    finish(run, Fault.MEMORY_READ, OUT_OF_BOUNDS)
