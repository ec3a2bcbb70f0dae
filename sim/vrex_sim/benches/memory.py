"""Bench of the ports of device memory, on cocotbext-axi's memory or with the behavioural one.

Arguments: ``config``; ``readers``, for each client its bursts [[line, lines], ...]; ``writers``,
for each ``base``, ``size`` and ``bursts``; ``data`` and ``mask`` uint8, the lines of all writers
one after the other, [N, line bytes] and [N, mask bytes]; ``image`` uint8 [lines, line bytes];
``idle``, ``stall`` and ``seed``. ``own``: the top has the behavioural memory inside; then
``knobs`` are its inputs; otherwise ``poison`` and ``disorder`` are those of
:class:`~vrex_sim.axi_memory.AxiMemory`. Readers start at once or, with ``after``, when all has
been written.

Gives back, for client k: ``line_k`` uint8 [M, line bytes], ``error_k`` and ``cycle_k`` [M];
``done_k`` [requests, 3] of error, outside and cycle; ``taken_read_k`` and ``taken_write_k``, the
cycles in which requests were taken; ``image`` as it is then; ``aw`` and ``ar``
[[cycle, client, byte address, beats], ...].
"""

from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from vrex_hw.config import from_dict
from vrex_hw.kvmu.layouts import line_layout
from vrex_hw.kvmu.ports import BURST_REQUEST, ReadSignature, WriteSignature
from vrex_hw.memory.layouts import Sizes
from vrex_sim.axi_memory import AxiMemory
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give
from vrex_sim.pulses import Pulses


def _bits(row: Any) -> int:
    return int.from_bytes(row.tobytes(), "little")


def _noter(cycles: list[int]) -> Callable[[int, int], None]:
    return lambda _, cycle: cycles.append(cycle)


class Addresses:
    """Notes the bursts on AW or AR, and sees that they wait as they are."""

    def __init__(self, bench: Bench, channel: str) -> None:
        """``channel``: aw or ar."""
        self.came: list[list[int]] = []
        self._bench, self._channel = bench, channel
        names = ("valid", "ready", "id", "addr", "len", "size", "burst")
        self._ports = [getattr(bench.dut, f"m_axi_{channel}{name}") for name in names]
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        held = None
        while True:
            await RisingEdge(self._bench.dut.clk)
            if self._bench.dut.rst.value == 1 or not int(self._ports[0].value):
                assert held is None, f"{self._channel}: valid fell"
                continue
            now = [int(port.value) for port in self._ports[2:]]
            assert held in (None, now), f"{self._channel}: {held} became {now}"
            held = None if int(self._ports[1].value) else now
            if held is None:
                self.came.append([self._bench.cycle, *now[:2], now[2] + 1])


class Host:
    """The clients, and the memory's backdoor."""

    def __init__(self, dut: Any, a: dict[str, Any]) -> None:
        """Make every stream."""
        self.a, self.config = a, from_dict(a["config"])
        self.tb = Bench(dut, seed=a["seed"], idle=a["idle"], patience=20_000)
        readers, writers = range(len(a["readers"])), range(len(a["writers"]))
        line = ReadSignature(self.config).members["line"].shape
        done = WriteSignature(self.config).members["done"].shape
        self.lines = [Pulses(self.tb, f"read__{k}__line", line) for k in readers]
        self.dones = [Pulses(self.tb, f"write__{k}__done", done) for k in writers]
        self.reads = [self.tb.source(f"read__{k}__request", BURST_REQUEST) for k in readers]
        self.writes = [self.tb.source(f"write__{k}__request", BURST_REQUEST) for k in writers]
        self.taken: dict[str, list[int]] = {}
        for kind, sources in (("read", self.reads), ("write", self.writes)):
            for k, source in enumerate(sources):
                cycles = self.taken[f"taken_{kind}_{k}"] = []
                source.on_beat = _noter(cycles)
        bits = 8 * Sizes(self.config).line_bytes + self.config.lxe.side
        self.given = [self.tb.source(f"write__{k}__line", bits) for k in writers]
        self.watched: list[Addresses] = []
        if a["own"]:
            width = 8 * Sizes(self.config).line_bytes
            self.load = self.tb.source("load", 32 + width)
            self.dump = self.tb.source("dump", 32)
            self.dumped = self.tb.sink("dumped", width, stall=a["stall"])
            self.tb.set(**a["knobs"])
        else:
            self.memory = AxiMemory(
                dut,
                "m_axi",
                a["image"].tobytes(),
                poison=a["poison"],
                disorder=a["disorder"],
                stall=a["stall"],
                seed=a["seed"],
            )
            self.watched = [Addresses(self.tb, channel) for channel in ("aw", "ar")]

    async def run(self) -> dict[str, Any]:
        """Do everything; return what came."""
        a = self.a
        for k, writer in enumerate(a["writers"]):
            self.tb.set(
                **{f"write__{k}__base": writer["base"], f"write__{k}__size": writer["size"]}
            )
        await self.tb.reset()
        if a["own"]:
            self.load.send_packed(n | _bits(row) << 32 for n, row in enumerate(a["image"]))
            await self.load.drained()
        if not a["after"]:
            self._read()
        self._write()
        for done, writer in zip(self.dones, a["writers"], strict=True):
            await done.count(len(writer["bursts"]))
        if a["after"]:
            self._read()
        for lines, bursts in zip(self.lines, a["readers"], strict=True):
            await lines.count(sum(n for _, n in bursts))
        image = await self._image()
        await self.tb.finish(100)
        return {"image": image, **self._results()}

    def _read(self) -> None:
        for source, bursts in zip(self.reads, self.a["readers"], strict=True):
            source.send_all({"address": at, "lines": n} for at, n in bursts)

    def _write(self) -> None:
        first = 0
        for k, writer in enumerate(self.a["writers"]):
            total = sum(n for _, n in writer["bursts"])
            rows = range(first, first + total)
            width, first = 8 * Sizes(self.config).line_bytes, first + total
            self.given[k].send_packed(
                _bits(self.a["data"][n]) | _bits(self.a["mask"][n]) << width for n in rows
            )
            self.writes[k].send_all({"address": at, "lines": n} for at, n in writer["bursts"])

    async def _image(self) -> Any:
        """Return what the memory holds, [lines, line bytes]."""
        shape = self.a["image"].shape
        if not self.a["own"]:
            return np.frombuffer(self.memory.image(), np.uint8).reshape(shape)
        self.dump.send_packed(range(shape[0]))
        rows = [(await self.dumped.beat()).to_bytes(shape[1], "little") for _ in range(shape[0])]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(shape)

    def _results(self) -> dict[str, Any]:
        results: dict[str, Any] = {name: np.array(c) for name, c in self.taken.items()}
        for k, lines in enumerate(self.lines):
            size = line_layout(self.config.lxe.side).size // 8
            rows = [(packed >> 2).to_bytes(size, "little") for packed, _ in lines.came]
            results[f"line_{k}"] = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, size)
            results[f"error_{k}"] = np.array([packed >> 1 & 1 for packed, _ in lines.came])
            results[f"cycle_{k}"] = np.array([cycle for _, cycle in lines.came])
        for k, dones in enumerate(self.dones):
            rows3 = [[packed >> 1 & 1, packed >> 2, cycle] for packed, cycle in dones.came]
            results[f"done_{k}"] = np.array(rows3).reshape(-1, 3)
        for watched in self.watched:
            results[watched._channel] = np.array(watched.came).reshape(-1, 4)
        return results


@cocotb.test()
async def memory(dut: Any) -> None:
    """Run one exchange."""
    give(**await Host(dut, arguments()).run())
