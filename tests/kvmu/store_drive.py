"""Runs frames of heads through the storer and compares all that it does with the model."""

import functools
import random

import numpy as np
from store_model import Frame, Head
from store_top import CONFIG, StoreTop

from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.layouts import Fault
from vrex_hw.kvmu.regions import Regions
from vrex_sim import runner

BENCH = "vrex_sim.benches.storer"
SIDE, SLOTS, CAP = CONFIG.lxe.side, CONFIG.kvmu.window_slots, CONFIG.kvmu.slot_tokens
SLOT_LINES = 1 << Regions(CONFIG).slot_bits
STREAMS = ("writes", "transfers", "given", "map", "entries")


@functools.cache
def emit(hcu=False):
    return convert(StoreTop(CONFIG, hcu), "store")


class Run:
    """A run: heads, their frames in the order of the jobs, and what device memory holds."""

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)
        self.random = random.Random(seed)
        self.jobs, self.memory = [], {}
        self.assign, self.hashes, self.expected = [], [], []
        self.extra, self.values = {}, {}
        self._frames, self._heads = 1 << 20, 0
        self._last = None

    def head(self, chunks_log2=1, host_tokens=1000):
        """Begin a head with a state and a place on the host of its own."""
        number, self._heads = self._heads, self._heads + 1
        state = (5 + number * -(-Regions(CONFIG).state_lines // SLOT_LINES)) * SLOT_LINES
        return Head(CONFIG, state, 0x1000 + 0x10000 * number, host_tokens, chunks_log2)

    def frame(self, head, tokens, *, stride=None, kind="gaussian", **told):
        """Put a frame's keys and values into memory, ``stride`` lines from token to token."""
        stride = head.chunks if stride is None else stride
        first, self._frames = self._frames, self._frames + 2 * tokens * stride + 3
        shape = (2, tokens, head.chunks, SIDE)
        if kind == "gaussian":
            floats = self.rng.normal(0, 2, shape).astype(np.float32)
            kv = (floats.view(np.uint32) >> 16).astype(np.uint16)
        else:
            kv = self.rng.integers(0, 1 << 16, shape, dtype=np.uint16)
        lines = first, first + tokens * stride + 3
        for start, half in zip(lines, kv, strict=True):
            for t, c in np.ndindex(half.shape[:2]):
                self.memory[start + t * stride + c] = half[t, c]
        hashes = [self.random.getrandbits(32) for _ in range(tokens - told.get("skip", 0))]
        return Frame(*kv, *lines, stride, hashes=hashes, **told)

    def store(self, head, frame, fault=None):
        """Make a job of a frame; the HCU's beats follow from it.

        ``fault``: how it ends if that is not the frame's own doing.
        """
        brings = None
        if self._last is not head:
            brings = [[slot, entry] for slot, entry in head.entries.items()]
        self._last = head
        fields = {"fields": head.fields(frame), "open": brings, "faults": frame.faults}
        self.jobs.append(fields)
        if len(frame.k) > frame.skip:
            beats = [] if frame.refused else frame.assign
            self.assign += [{"number": n, "opened": int(o)} for n, o in beats]
            number = 0 if frame.refused else frame.trailer
            self.assign.append({"number": number, "error": int(frame.refused), "last": 1})
        self.hashes += [{"bits": bits} for bits in frame.hashes]
        stored = head.store(frame)
        if fault is not None:
            stored.fault, stored.whole = fault, False
        self.expected.append(stored)
        return stored

    def cluster(self, head, tokens, *, skip=0, joins=0.6, window=20, **told):
        """Make a frame whose tokens join open clusters at random, and seal until they fit."""
        counts = {n: head.entries[n % SLOTS]["count"] for n in range(head.sealed, head.opened)}
        opened, assign = head.opened, []
        for _ in range(tokens - skip):
            free = [n for n, count in counts.items() if count < CAP]
            full = opened - head.sealed == SLOTS
            if free and (full or self.random.random() < joins):
                number = self.random.choice([free[-1], self.random.choice(free)])
            else:
                assert not full, "the clusters are full: a smaller window, or fewer tokens"
                number, opened = opened, opened + 1
            assign.append((number, number not in counts))
            counts[number] = counts.get(number, 0) + 1
        sealed = head.sealed
        while sum(counts.values()) > window:
            counts.pop(sealed)
            sealed += 1
        return self.frame(head, tokens, skip=skip, assign=assign, trailer=sealed, **told)

    def go(self, *, idle=0.0, stall=0.0, latency=0, seed=1, hcu=False):
        """Simulate, compare everything, and return what the bench gave back."""
        numbers = sorted(self.memory)
        got = runner.run(
            emit(hcu),
            "store",
            BENCH,
            {
                "config": CONFIG.to_dict(),
                "seed": seed,
                "idle": idle,
                "stall": stall,
                "latency": latency,
                "memory": np.array(numbers, np.int64),
                "lines": np.array([self.memory[n] for n in numbers], np.uint16).reshape(-1, SIDE),
                "streams": {
                    **({} if hcu else {"assign": self.assign}),
                    "hash": self.hashes,
                    **self.extra,
                },
                "values": self.values,
                "jobs": self.jobs,
            },
        )
        self._compare(got)
        return got

    def _compare(self, got):
        written = zip(got["write_address"], got["write_data"], got["write_mask"], strict=True)
        logs = {
            "writes": [(int(n), line.tolist(), int(mask)) for n, line, mask in written],
            "given": got["given"].tolist(),
            "transfers": got["transfers"].tolist(),
            "map": got["map"],
            "entries": got["entries"],
        }
        before, counted = [0] * len(STREAMS), [0, 0, 0]
        for number, (expected, mark) in enumerate(zip(self.expected, got["marks"], strict=True)):
            done, _, after, counters = mark
            assert Fault(done.pop("fault")) == expected.fault, number
            for stream, first, end in zip(STREAMS, before, after, strict=True):
                mine, wanted = logs[stream][first:end], map(plain, getattr(expected, stream))
                # After a fault some of what came before it need not have been begun.
                assert mine == list(wanted)[: None if expected.whole else len(mine)], (
                    number,
                    stream,
                )
            if not expected.fault:
                assert done == expected.done, number
                events = expected.tokens, len(expected.map), len(expected.given)
                assert counters == [c + e for c, e in zip(counted, events, strict=True)], number
            before, counted = after, counters


def plain(item):
    """Return an expected item with lists in the place of arrays."""
    if isinstance(item, np.ndarray):
        return item.tolist()
    if isinstance(item, tuple):
        number, line, mask = item
        return number, plain(line) if isinstance(line, np.ndarray) else line, mask
    return item
