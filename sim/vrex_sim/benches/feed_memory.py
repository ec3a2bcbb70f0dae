"""Device memory as the benches of the core play it: lines by their number, late at random."""

import random
from collections import deque
from typing import Any

from cocotb.triggers import RisingEdge

from vrex_hw.config import Config
from vrex_hw.kvmu.ports import BURST_REQUEST, WriteSignature
from vrex_sim.drivers import Bench
from vrex_sim.packer import Packer


class ReadClient:
    """Answers the bursts of one port, in order, a line a cycle, ``latency`` cycles or more late.

    Where ``idle`` is not 0 lines pause, and bursts take up to three times as long. A line that
    nobody wrote is a failure; one in ``bad`` comes with an error.
    """

    def __init__(
        self, bench: Bench, name: str, lines: dict[int, int], bad: set[int], given: dict[str, Any]
    ) -> None:
        """Listen to the port's requests."""
        self.requests = 0
        self._bench, self._lines, self._bad = bench, lines, bad
        self._latency, self._idle = given["latency"], given["idle"]
        self._random = random.Random(f"{given['seed']} memory {name}")
        self._port = getattr(bench.dut, f"{name}__line")
        self._port.value = 0
        self._due: deque[tuple[int, int]] = deque()
        sink = bench.sink(f"{name}__request", BURST_REQUEST)
        sink.on_beat = self._ask
        self._packer = sink.packer

    def _ask(self, packed: int, cycle: int) -> None:
        burst = self._packer.unpack(packed)
        self.requests += 1
        late = self._latency
        if self._idle:
            late = self._random.randint(0, 3 * late)
        self._due += [(cycle + late, burst["address"] + k) for k in range(burst["lines"])]

    async def serve(self) -> None:
        """Drive the lines, for ever."""
        edge = RisingEdge(self._bench.dut.clk)
        while True:
            await edge
            value = 0
            ready = self._due and self._due[0][0] <= self._bench.cycle
            if ready and self._random.random() >= self._idle:
                address = self._due.popleft()[1]
                if address not in self._lines:
                    raise AssertionError(f"{self._port._name}: nothing lies at line {address}")
                value = self._lines[address] << 2 | (address in self._bad) << 1 | 1
            self._port.value = value


class WriteClient:
    """Takes the writes of one port and tells when they are done, late at random."""

    def __init__(self, bench: Bench, name: str, config: Config, given: dict[str, Any]) -> None:
        """Listen to the port's requests and lines."""
        self.elements: dict[tuple[int, int], int] = {}
        """What was written, by line and element."""
        self._bench, self._side, self._bad = bench, config.lxe.side, set(given["bad"])
        self._latency, self._name = given["latency"], name
        self._random = random.Random(f"{given['seed']} memory {name}")
        self._done = getattr(bench.dut, f"{name}__done")
        self._done.value = 0
        self._bursts: deque[int] = deque()
        self._ends: deque[tuple[int, int]] = deque()
        line = WriteSignature(config).members["line"].signature.members["payload"].shape
        self._request, self._line = Packer(BURST_REQUEST), Packer(line)
        bench.sink(f"{name}__request", BURST_REQUEST).on_beat = self._ask
        bench.sink(f"{name}__line", line).on_beat = self._put

    def _ask(self, packed: int, cycle: int) -> None:
        burst = self._request.unpack(packed)
        if burst["lines"] != 1:
            raise AssertionError(f"{self._name}: a burst of {burst['lines']} lines")
        self._bursts.append(burst["address"])

    def _put(self, packed: int, cycle: int) -> None:
        if not self._bursts:
            raise AssertionError(f"{self._name}: a line without a request, cycle {cycle}")
        address, line = self._bursts.popleft(), self._line.unpack(packed)
        base, size = (self._bench.get(f"{self._name}__{name}") for name in ("base", "size"))
        outside = not base <= address < base + size
        late = self._latency and self._random.randint(0, 2 * self._latency)
        self._ends.append((cycle + late, 1 | (address in self._bad) << 1 | outside << 2))
        for element in range(self._side):
            if line["mask"] >> element & 1 and not outside:
                if (address, element) in self.elements:
                    raise AssertionError(f"{self._name}: line {address} is written twice")
                self.elements[address, element] = line["data"][element]

    async def serve(self) -> None:
        """Drive ``done``, for ever."""
        edge = RisingEdge(self._bench.dut.clk)
        while True:
            await edge
            value = 0
            if self._ends and self._ends[0][0] <= self._bench.cycle:
                value = self._ends.popleft()[1]
            self._done.value = value
