"""Plays what is around a storer: device memory, the host link, the open entries and the map."""

from collections import deque
from random import Random
from typing import Any

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import MAP_ENTRY, OPEN_ENTRY, Fault, line_layout
from vrex_hw.kvmu.ports import BURST_REQUEST, TRANSFER, ReadSignature, WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_sim.drivers import Bench
from vrex_sim.packer import Packer


class Job:
    """The job in hand: what of it fails, and how many of each kind there have been."""

    def __init__(self) -> None:
        """Begin without a job: nothing fails."""
        self.faults: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def begin(self, faults: dict[str, int]) -> None:
        """Count from 0 again."""
        self.faults, self._seen = faults, {}

    def fails(self, kind: str) -> int:
        """Count one of ``kind``; return 1 if it is the one to fail."""
        number = self._seen.get(kind, 0)
        self._seen[kind] = number + 1
        return int(self.faults.get(kind) == number)


class Pipe:
    """What a played port does later: in order, at a random time, at most one thing a cycle."""

    def __init__(self, rng: Random, latency: int) -> None:
        """Let things happen up to ``latency`` cycles after the next cycle."""
        self._rng, self._latency = rng, latency
        self._queue: deque[tuple[int, Any]] = deque()

    def put(self, cycle: int, what: Any) -> None:
        """Let ``what`` happen between the next cycle and ``latency`` cycles after it."""
        self._queue.append((cycle + 1 + self._rng.randint(0, self._latency), what))

    def due(self, cycle: int) -> Any:
        """Return what happens now, or None."""
        if self._queue and self._queue[0][0] <= cycle:
            return self._queue.popleft()[1]
        return None

    def __len__(self) -> int:
        """Return how many things are to happen."""
        return len(self._queue)


class Memory:
    """Device memory behind the read and the write port. A write is there when it is done."""

    def __init__(self, tb: Bench, config: Config, a: dict[str, Any], job: Job) -> None:
        """``a``: the bench's arguments; ``job``: says what fails."""
        self._tb, self._job = tb, job
        rng, latency = Random(f"{a['seed']} memory"), a["latency"]
        self._rng, self._lines = rng, dict[int, int]()
        for number, line in zip(a["memory"].tolist(), a["lines"], strict=True):
            self._lines[number] = int.from_bytes(line.tobytes(), "little")
        read, write = ReadSignature(config).members, WriteSignature(config).members
        self._read = Packer(read["line"].shape)
        self._done = Packer(write["done"].shape)
        self._width = line_layout(config.lxe.side).size
        shape = write["line"].signature.members["payload"].shape
        self._write = Packer(shape)
        self.reads, self.writes = Pipe(rng, latency), Pipe(rng, latency)
        self._requests: deque[int] = deque()
        self._given: deque[dict[str, Any]] = deque()
        self.log: list[tuple[int, list[int], int]] = []
        self._burst = Packer(BURST_REQUEST)
        tb.sink("read__request", BURST_REQUEST).on_beat = self._ask
        tb.sink("write__request", BURST_REQUEST).on_beat = self._begin
        tb.sink("write__line", shape).on_beat = self._bring

    @property
    def busy(self) -> int:
        """What is under way."""
        return len(self.reads) + len(self.writes) + len(self._requests) + len(self._given)

    def _ask(self, packed: int, cycle: int) -> None:
        burst = self._burst.unpack(packed)
        for number in range(burst["address"], burst["address"] + burst["lines"]):
            line = self._lines.get(number)
            if line is None:
                line = Random(number).getrandbits(self._width)
            self.reads.put(cycle, {"valid": 1, "error": self._job.fails("read"), "data": line})

    def _begin(self, packed: int, cycle: int) -> None:
        burst = self._burst.unpack(packed)
        base, size = self._tb.get("write__base"), self._tb.get("write__size")
        assert burst["lines"] == 1 and base <= burst["address"] < base + size
        self._requests.append(burst["address"])
        self._pair(cycle)

    def _bring(self, packed: int, cycle: int) -> None:
        self._given.append(self._write.unpack(packed))
        self._pair(cycle)

    def _pair(self, cycle: int) -> None:
        while self._requests and self._given:
            number, line = self._requests.popleft(), self._given.popleft()
            self.log.append((number, line["data"], line["mask"]))
            done = {"valid": 1, "error": self._job.fails("write")}
            self.writes.put(cycle, (number, line, {**done, "outside": self._job.fails("outside")}))

    def step(self) -> None:
        """Bring a line, finish a write."""
        dut, cycle = self._tb.dut, self._tb.cycle
        line = self.reads.due(cycle)
        if line is not None:
            packed = self._read.pack({"valid": 1, "error": line["error"]})
            dut.read__line.value = packed | line["data"] << self._read.width - self._width
        else:
            # The data of a cycle without a line mean nothing.
            noise = self._rng.getrandbits(self._read.width)
            dut.read__line.value = noise & ~self._read.pack({"valid": 1})
        done = self.writes.due(cycle)
        if done is None:
            dut.write__done.value = self._done.pack({"error": 1, "outside": 1})
            return
        number, written, answer = done
        old = self._lines.get(number, 0)
        for index, element in enumerate(written["data"]):
            if written["mask"] >> index & 1:
                old = old & ~(0xFFFF << 16 * index) | element << 16 * index
        self._lines[number] = old
        dut.write__done.value = self._done.pack(answer)


class Link:
    """The host link: takes lines, tells a result for each request."""

    def __init__(self, tb: Bench, config: Config, a: dict[str, Any], job: Job) -> None:
        """``a``: the bench's arguments; ``job``: says what fails."""
        self._tb, self._job = tb, job
        line = line_layout(config.lxe.side)
        self._results = Pipe(Random(f"{a['seed']} link"), a["latency"])
        self._transfer, self._line = Packer(TRANSFER), Packer(line)
        self._open: deque[dict[str, int]] = deque()
        self.transfers: list[list[int]] = []
        self.given: list[list[int]] = []
        tb.sink("transfer__request", TRANSFER).on_beat = self._begin
        tb.sink("transfer__give", line).on_beat = self._take

    @property
    def busy(self) -> int:
        """What is under way."""
        return len(self._results) + len(self._open)

    def _begin(self, packed: int, cycle: int) -> None:
        request = self._transfer.unpack(packed)
        assert request["write"] == 1 and request["lines"] > 0
        self.transfers.append([request["address"], request["lines"]])
        fault = Fault.LINK_ERROR if self._job.fails("link") else Fault.NONE
        # One that fails may do so before its lines are there.
        told = int(fault != Fault.NONE and not self._open)
        if told:
            self._results.put(cycle, fault)
        self._open.append({"lines": request["lines"], "fault": fault, "told": told})

    def _take(self, packed: int, cycle: int) -> None:
        assert self._open, "a line without a request"
        self.given.append(self._line.unpack(packed))
        self._open[0]["lines"] -= 1
        if self._open[0]["lines"] == 0:
            ended = self._open.popleft()
            if not ended["told"]:
                self._results.put(cycle, ended["fault"])

    def step(self) -> None:
        """Tell a result."""
        fault = self._results.due(self._tb.cycle)
        self._tb.dut.transfer__result.value = 0b11110 if fault is None else 1 | fault << 1


class Tables:
    """The open entries, and the map, which is only written."""

    def __init__(self, tb: Bench, config: Config) -> None:
        """Begin with entries that are all 0."""
        self._tb, self._entry, self._map = tb, Packer(OPEN_ENTRY), Packer(MAP_ENTRY)
        self._lanes = Regions(config).map_lanes
        self._held = 0
        self.open = [0] * config.kvmu.window_slots
        self.map: list[list[Any]] = []
        self.entries: list[list[Any]] = []

    def load(self, entries: list[list[Any]] | None) -> None:
        """Make the head's entries the ones in hand."""
        for slot, fields in entries or []:
            self.open[slot] = self._entry.pack(fields)

    def step(self) -> None:
        """Read, then write, as the port says."""
        dut = self._tb.dut
        if dut.open__read.value == 1:
            self._held = self.open[int(dut.open__address.value)]
        dut.open__data.value = self._held
        if dut.open__write.value == 1:
            slot, entry = int(dut.open__write_address.value), int(dut.open__write_data.value)
            self.open[slot] = entry
            self.entries.append([slot, self._entry.unpack(entry)])
        lanes = int(dut.map__write.value)
        for lane in range(self._lanes):
            if lanes >> lane & 1:
                word = int(dut.map__write_data.value) >> lane * self._map.width
                number = int(dut.map__write_address.value) * self._lanes + lane
                self.map.append([number, self._map.unpack(word)])
