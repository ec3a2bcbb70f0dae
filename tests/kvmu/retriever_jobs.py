"""Jobs for the retriever, and the comparison of everything it did with the reference."""

import functools
import random
from dataclasses import dataclass, field

import numpy as np

from resv_ref.residency import Residency, Retrieval
from vrex.residency import Policy
from vrex_hw.config import CONFIGS
from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.layouts import MAP_ENTRY, Area, Fault
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever import JOB, Retriever
from vrex_sim import runner
from vrex_sim.packer import Packer

BENCH = "vrex_sim.benches.retriever"
ENTRY = Packer(MAP_ENTRY)
STATE, TRANSIENT, HOST, HOST_TOKENS = 0x4_0000, 0x80_0000, 0x123_4567, 500


@functools.cache
def emit(config):
    return convert(Retriever(config), "retriever")


@dataclass
class Job:
    """What one job selects, and what goes wrong with it."""

    selected: list
    new: list = field(default_factory=list)
    """Token counts of the clusters that were sealed since the job before."""
    room: int = 4
    policy: Policy = Policy.FREQUENCY
    error: int = 0
    host: tuple | None = None
    """Request that fails, its fault, the lines before."""
    memory: tuple | None = None
    """Write that fails, and how."""
    packet: list | None = None
    """What is sent in place of the numbers ``selected``."""
    may_fail: bool = False
    """Where it is not told how the job ends."""
    untouched: bool = False
    """The job is refused before it begins."""
    fields: dict = field(default_factory=dict)
    """Fields of the job that are not what they ought to be."""
    entries: list = field(default_factory=list)
    """Entries of the map that are not what they ought to be."""
    fault: Fault = Fault.NONE
    """What the job ends with."""


class Head:
    """A head over its jobs: the reference, and what the hardware made of it."""

    def __init__(self, *, config=CONFIGS["tiny"], chunks_log2=0, host_tokens=HOST_TOKENS, seed=1):
        self.config, self.regions = config, Regions(config)
        self.chunks_log2, self.host_tokens, self.seed = chunks_log2, host_tokens, seed
        self.rng = random.Random(seed)

    def run(self, jobs, *, idle=0.3, stall=0.3, latency=20):
        """Run the jobs over the emitted Verilog, compare, and return what each gave."""
        counts, given = [], []
        for job in jobs:
            given.append(self._given(job, counts))
        self._last_put = [dict(one["entries"]) for one in given]
        arguments = {"config": self.config.to_dict(), "seed": self.seed, "jobs": given}
        arguments |= {"idle": idle, "stall": stall, "latency": latency}
        results = runner.run(emit(self.config), "retriever", BENCH, arguments)["jobs"]
        self._compare(jobs, results)
        return results

    def _given(self, job, counts):
        """Make what the bench wants; the map's unused entries are anything."""
        first = sum(counts)
        entries = []
        for count in job.new:
            entries.append((len(counts), {"offset": first, "count": count, "slot": 0}))
            counts.append(count)
            first += count
        lanes = self.regions.map_lanes
        for number in range(len(counts), min(self.config.wtu.entries, len(counts) + lanes)):
            entries.append((number, ENTRY.unpack(self.rng.getrandbits(64))))
        fields = {name: 0 for name in JOB.members if name != "used"}
        fields |= {"state": STATE, "transient": TRANSIENT, "host": HOST}
        fields |= {"host_tokens": self.host_tokens, "chunks_log2": self.chunks_log2}
        fields |= {"sealed": len(counts), "room": job.room, "policy": int(job.policy)}
        return {
            "job": fields | job.fields,
            "entries": entries + job.entries,
            "selected": job.selected if job.packet is None else job.packet,
            "error": job.error,
            "host": job.host and (job.host[0], int(job.host[1]), job.host[2]),
            "memory": job.memory,
        }

    def _compare(self, jobs, results):
        lines = 2 << self.chunks_log2
        most = self.config.kvmu.request_lines
        sizes = {"token_lines": lines, "request_lines": most}
        model = Residency(0, Policy.LRU, slot_tokens=self.config.kvmu.slot_tokens, **sizes)
        counts = np.zeros(0, np.int64)
        counters, broken = np.zeros(5, np.int64), set()
        for number, (job, got) in enumerate(zip(jobs, results, strict=True)):
            where = f"job {number}"
            counts = np.concatenate([counts, np.array(job.new, np.int64)])
            model.room = min(job.room, self.config.kvmu.resident_slots)
            model.policy = job.policy
            fault = Fault(got["done"][0])
            assert job.may_fail or fault == job.fault, (where, fault)
            came = len(got["segments"])
            wanted = Retrieval()
            if not job.untouched:
                wanted = model.step(job.selected, counts, came if fault else None)
            if fault and not job.untouched:
                model.revert()
            broken |= {entry for entry, _ in job.entries}
            self._segments(where, got, wanted, counts)
            self._requests(where, got, wanted, fault)
            self._writes(where, got, wanted, counts, fault)
            self._map(where, got, model, counts, broken)
            for unsealed in self._last_put[number].keys() - set(range(len(counts))):
                entry = ENTRY.unpack(int(got["map"][unsealed], 16))
                assert entry == self._last_put[number][unsealed], (where, unsealed)
            assert got["done"][1] == model.used, where
            self._counters(where, got, wanted, counts, counters, fault)

    def _segments(self, where, got, wanted, counts):
        area = {False: Area.RESIDENT, True: Area.TRANSIENT}
        segments = [
            [int(area[place.transient]), place.slot, int(counts[place.cluster])]
            for place in wanted.places
        ]
        assert got["segments"] == segments, where

    def _requests(self, where, got, wanted, fault):
        requests = [[HOST + first, lines] for first, lines in wanted.requests]
        if fault:
            assert got["requests"] == requests[: len(got["requests"])], where
        else:
            assert got["requests"] == requests, where

    def _writes(self, where, got, wanted, counts, fault):
        regions = self.regions
        places, landed = [], []
        for place in wanted.places:
            if not place.fetched:
                continue
            base = TRANSIENT if place.transient else STATE + regions.resident
            source = HOST + int(counts[: place.cluster].sum()) * (2 << self.chunks_log2)
            for token in range(counts[place.cluster]):
                for value in range(2):
                    for chunk in range(1 << self.chunks_log2):
                        line = (value << regions.chunk_bits | chunk) << regions.token_bits | token
                        places.append(base + (place.slot << regions.slot_bits) + line)
                        landed.append(f"{host_data(regions, source):x}")
                        source += 1
        if fault:
            assert len(got["writes"]) <= len(places)
            places, landed = places[: len(got["writes"])], landed[: len(got["writes"])]
        assert got["writes"] == places, where
        assert got["landed"] == landed, where

    def _map(self, where, got, model, counts, broken):
        offsets = np.cumsum(counts) - counts
        for number, count in enumerate(counts):
            if number in broken:
                continue
            entry = ENTRY.unpack(int(got["map"][number], 16))
            assert entry == {
                "offset": offsets[number],
                "count": count,
                "slot": model.slot[number],
                "resident": model.resident[number],
                "chosen": model.chosen[number],
                "fresh": model.fresh[number],
                "priority": model.priority[number],
            }, (where, number)

    def _counters(self, where, got, wanted, counts, total, fault):
        tokens = [int(counts[place.cluster]) for place in wanted.places]
        fetched = [place.fetched for place in wanted.places]
        total += [
            len(tokens),
            fetched.count(False),
            len(got["requests"]),
            sum(n for n, come in zip(tokens, fetched, strict=True) if come),
            sum(tokens),
        ]
        assert got["counters"] == total.tolist(), where


def host_data(regions, line):
    """Return what the bench's host has in a line."""
    return random.Random(line).getrandbits(regions.line_bits)


def walk(rng, jobs, *, cap, most=24, sealed=60):
    """Yield jobs of a stream: clusters are sealed, some are selected, favourites more often."""
    count = 0
    for number in range(jobs):
        new = [rng.randint(1, cap) for _ in range(rng.choice([0, 0, 1, 3, 8]))]
        new = new[: sealed - count]
        count += len(new)
        share = rng.choice([0.0, 0.1, 0.3, 0.3, 0.6, 1.0])
        likes = random.Random(number // 6)
        weights = [likes.random() for _ in range(count)]
        selected = [k for k in range(count) if rng.random() < share * 1.6 * weights[k]]
        yield Job(selected, new=new)
