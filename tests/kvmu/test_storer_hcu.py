"""The storer behind a real HCU: hash bits go to both, assignments come from one to the other."""

from store_drive import SLOTS, Run

from vrex_hw.kvmu.layouts import Fault

WINDOWS = {"hamming_threshold": 7, "join_window": 8, "cluster_cap": 4, "recent_window": 12}


def assignments(head, hashes, first):
    """Return what the HCU says of tokens from index ``first`` on: (number, opened), the trailer."""
    table = {n: dict(head.entries[n % SLOTS]) for n in range(head.sealed, head.opened)}
    assign = []
    for index, bits in enumerate(hashes, first):
        near = [
            ((entry["hash"] ^ bits).bit_count(), number)
            for number, entry in table.items()
            if index - entry["first"] <= WINDOWS["join_window"]
            and entry["count"] < WINDOWS["cluster_cap"]
        ]
        distance, number = min(near, default=(64, 0))
        opened = distance >= WINDOWS["hamming_threshold"]
        if opened:
            number = head.opened + sum(new for _, new in assign)
            table[number] = {"hash": bits, "first": index, "count": 0}
        table[number]["count"] += 1
        assign.append((number, opened))
    sealed = head.sealed
    while sum(entry["count"] for entry in table.values()) > WINDOWS["recent_window"]:
        table.pop(sealed)
        sealed += 1
    return assign, sealed


def cluster(run, head, tokens, skip, kinds):
    """Make a frame whose tokens look like one of ``kinds``, and its job for the HCU."""
    frame = run.frame(head, tokens, skip=skip)
    frame.hashes = [run.random.choice(kinds) ^ 1 << run.random.randrange(32) for _ in frame.hashes]
    first = head.tokens + skip
    frame.assign, frame.trailer = assignments(head, frame.hashes, first)
    entries = head.opened - head.sealed
    job = {"first_index": first, "tokens": tokens - skip, "base": head.sealed, "entries": entries}
    run.extra.setdefault("cluster", []).append(job)
    run.extra.setdefault("table", []).extend(
        head.entries[n % SLOTS] for n in range(head.sealed, head.opened)
    )
    frame.refused = entries + tokens - skip > 16
    run.store(head, frame)


def test_frames_of_two_heads():
    run = Run(seed=5)
    run.values = WINDOWS
    heads, kinds = [run.head(0), run.head(1)], [run.random.getrandbits(32) for _ in range(3)]
    for turn in range(8):
        for head in heads:
            cluster(run, head, run.random.randint(5, 8), 2 if turn == 0 else 0, kinds)
    assert sum(len(stored.map) for stored in run.expected) > 10
    assert not any(stored.fault for stored in run.expected)
    run.go(idle=0.2, stall=0.2, latency=5, hcu=True)


def test_a_frame_that_the_hcu_refuses():
    """It drains as many hash bits as there are, and gives no assignment: nobody waits for ever."""
    run = Run(seed=6)
    run.values = WINDOWS
    head, other = run.head(0), run.head(1)
    kinds = [run.random.getrandbits(32) for _ in range(5)]
    cluster(run, head, 10, 0, kinds)
    cluster(run, head, 12, 0, kinds)
    cluster(run, other, 12, 2, kinds)
    assert [stored.fault for stored in run.expected] == [Fault.NONE, Fault.WINDOW_FULL, Fault.NONE]
    run.go(idle=0.2, stall=0.2, latency=5, hcu=True)
