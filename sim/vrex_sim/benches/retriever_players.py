"""What is around the retriever in its bench: a head's map, the host, and device memory.

Each has a ``step`` that serves one rising edge: it reads what holds before the edge and drives what
holds after it.
"""

import random
from collections import deque
from typing import Any

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import BURST, MAP_ENTRY, Fault
from vrex_hw.kvmu.ports import BURST_REQUEST, TRANSFER, TransferSignature, WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_sim.drivers import Bench
from vrex_sim.packer import Packer

Write = tuple[int, int]
"""Line number and data."""


class MapRam:
    """The map's memory: reads take a cycle, and see what was there before a write."""

    def __init__(self, dut: Any, config: Config) -> None:
        """Start with all entries 0."""
        self.lanes = Regions(config).map_lanes
        self.entries = [0] * config.wtu.entries
        self.read, self.address = dut.map__read, dut.map__address
        self.write, self.place = dut.map__write, dut.map__write_address
        self.data, self.new = dut.map__data, dut.map__write_data
        self._entry = Packer(MAP_ENTRY)

    def put(self, number: int, fields: dict[str, int]) -> None:
        """Write an entry."""
        self.entries[number] = self._entry.pack(fields)

    def step(self) -> None:
        """Serve an edge."""
        if self.read.value == 1:
            first = int(self.address.value) * self.lanes
            word = self.entries[first : first + self.lanes]
            self.data.value = sum(entry << MAP_ENTRY.size * k for k, entry in enumerate(word))
        mask = int(self.write.value)
        if mask:
            first, new = int(self.place.value) * self.lanes, int(self.new.value)
            for k in range(self.lanes):
                if mask >> k & 1:
                    entry = new >> MAP_ENTRY.size * k & (1 << MAP_ENTRY.size) - 1
                    self.entries[first + k] = entry


class Host:
    """Answers transfers: lines in order, with pauses, then a result; or a fault.

    ``fails`` names the request of the job that fails, with its fault and the lines that come before
    it: then those under way with it fail too, without a line.
    """

    def __init__(self, bench: Bench, config: Config, pause: float, latency: int) -> None:
        """Pause with probability ``pause`` a cycle; answer after up to ``latency`` cycles."""
        members = TransferSignature(config).members
        self._line = Packer(members["line"].shape)
        self._result = Packer(members["result"].shape)
        self._bits = Regions(config).line_bits
        self._bench, self._pause, self._latency = bench, pause, latency
        self._requests = bench.sink("transfer__request", TRANSFER)
        self._requests.on_beat = self._ask
        self._request = Packer(TRANSFER)
        self._random = random.Random(f"{bench.seed} host")
        self._queue: deque[list[int]] = deque()
        self.fails: tuple[int, Fault, int] | None = None
        self.asked: list[tuple[int, int]] = []
        """First line and lines of this job's requests."""
        self.writes = 0
        """Requests that wanted to write: none should."""
        self._drowned = 0

    def data(self, line: int) -> int:
        """Return what is in a line of the host."""
        return random.Random(line).getrandbits(self._bits)

    def _ask(self, packed: int, cycle: int) -> None:
        request = self._request.unpack(packed)
        due = cycle + self._random.randrange(self._latency + 1)
        self._queue.append([request["address"], request["lines"], 0, len(self.asked), due])
        self.asked.append((request["address"], request["lines"]))
        self.writes += request["write"]

    def step(self) -> None:
        """Serve an edge."""
        line: dict[str, Any] = {"valid": 0}
        result = {"valid": 0}
        ready = self._queue and self._bench.cycle >= self._queue[0][4]
        if ready and self._random.random() >= self._pause:
            first, lines, came, index, _ = self._queue[0]
            fault = self._fault(index, came, lines)
            if fault:
                result = {"valid": 1, "fault": fault}
            else:
                if came < lines:
                    line = {"valid": 1, "data": self._unpacked(first + came)}
                    self._queue[0][2] += 1
                    came += 1
                # The result comes with the last line, or after it; a fault after it.
                well = not self.fails or self.fails[0] != index
                if came == lines and well and (self._random.random() < 0.5 or not line["valid"]):
                    result = {"valid": 1, "fault": 0}
            if result["valid"]:
                self._queue.popleft()
        self._bench.set(
            transfer__line=self._line.pack(line), transfer__result=self._result.pack(result)
        )

    def _fault(self, index: int, came: int, lines: int) -> int:
        if index < self._drowned:
            return int(Fault.LINK_LATE)
        if self.fails and self.fails[0] == index and came >= min(self.fails[2], lines):
            self._drowned = index + len(self._queue)
            return int(self.fails[1])
        return 0

    def _unpacked(self, line: int) -> list[int]:
        data = self.data(line)
        return [data >> 16 * k & 0xFFFF for k in range(self._bits // 16)]

    def begin(self, fails: tuple[int, Fault, int] | None) -> None:
        """Forget the job before."""
        self.asked, self.fails, self._drowned = [], fails, 0

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not self._queue


class Memory:
    """Takes writes of single lines and tells when they are done, up to ``latency`` cycles later.

    ``fails`` names the write of the job that ends with an error, or ``outside``.
    """

    def __init__(self, bench: Bench, config: Config, pause: float, latency: int) -> None:
        """Pause with probability ``pause`` a cycle; be done after up to ``latency`` cycles."""
        members = WriteSignature(config).members
        layout = members["line"].signature.members["payload"].shape
        self._done, self._line = Packer(members["done"].shape), Packer(layout)
        self._request = Packer(BURST_REQUEST)
        self._bench, self._pause, self._latency = bench, pause, latency
        self._side = config.lxe.side
        bench.sink("write__request", BURST_REQUEST).on_beat = self._ask
        bench.sink("write__line", layout).on_beat = self._take
        self._random = random.Random(f"{bench.seed} memory")
        self._asked: deque[tuple[int, tuple[int, int]]] = deque()
        self._taken: deque[int] = deque()
        self._under_way: deque[tuple[int, tuple[int, int], int]] = deque()
        self.begin(None)

    def begin(self, fails: tuple[int, str] | None) -> None:
        """Forget the job before."""
        self.fails = fails
        self.writes: list[Write] = []
        self._count = 0

    def _area(self) -> tuple[int, int]:
        return self._bench.get("write__base"), self._bench.get("write__size")

    def _ask(self, packed: int, cycle: int) -> None:
        request = self._request.unpack(packed)
        assert request["lines"] == 1 < 1 << BURST
        self._asked.append((request["address"], self._area()))

    def _take(self, packed: int, cycle: int) -> None:
        line = self._line.unpack(packed)
        assert line["mask"] == (1 << self._side) - 1, "an element of a line is not written"
        self._taken.append(sum(v << 16 * k for k, v in enumerate(line["data"])))

    def step(self) -> None:
        """Serve an edge."""
        assert len(self._taken) <= len(self._asked), "a line came before its request"
        while self._taken:
            address, area = self._asked.popleft()
            due = self._bench.cycle + self._random.randrange(self._latency + 1)
            self._under_way.append((due, area, address))
            self.writes.append((address, self._taken.popleft()))
        done = {"valid": 0}
        ready = self._under_way and self._under_way[0][0] <= self._bench.cycle
        if ready and self._random.random() >= self._pause:
            _, area, address = self._under_way.popleft()
            assert self._area() == area, "the area changed under a write"
            done = {"valid": 1, "outside": int(not area[0] <= address < area[0] + area[1])}
            if self.fails and self.fails[0] == self._count:
                done[self.fails[1]] = 1
            self._count += 1
        self._bench.set(write__done=self._done.pack(done))

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self._asked or self._taken or self._under_way)
