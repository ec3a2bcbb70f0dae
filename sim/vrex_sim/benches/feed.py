"""Bench of the feeder: plays device memory and the sequencer, gives back what comes out.

Arguments: what :meth:`vrex_sim.benches.feed_traffic.FeedTraffic.arguments` tells, ``around`` (the
LXE and the writer are there), ``bad`` (lines that memory answers with an error), ``latency`` of
memory, ``idle``, ``stall`` and ``seed``.
"""

from typing import Any

import cocotb
import numpy as np

from vrex_hw.config import Config, from_dict
from vrex_hw.core.feeder import FED, FEED
from vrex_hw.core.writer import WRITE, WRITTEN
from vrex_hw.kvmu.layouts import SEGMENT
from vrex_hw.lxe.layouts import COLUMN_BITS, Layouts
from vrex_hw.wtu.layouts import Layouts as RowLayouts
from vrex_sim.benches.feed_memory import ReadClient, WriteClient
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give

BANKS = 2


class Collector:
    """Keeps the beats of a stream and their cycles."""

    def __init__(self, bench: Bench, name: str, shape: Any) -> None:
        """Listen to it."""
        self.beats: list[int] = []
        self.cycles: list[int] = []
        self.size = -(-shape.size // 8)
        bench.sink(name, shape).on_beat = self._keep

    def _keep(self, packed: int, cycle: int) -> None:
        self.beats.append(packed)
        self.cycles.append(cycle)

    def results(self, name: str) -> dict[str, Any]:
        """Return them, beats as rows of bytes."""
        data = b"".join(beat.to_bytes(self.size, "little") for beat in self.beats)
        beats = np.frombuffer(data, np.uint8).reshape(-1, self.size)
        return {name: beats, f"{name}_cycle": np.array(self.cycles, np.int64)}


def collectors(tb: Bench, config: Config, around: bool) -> dict[str, Collector]:
    """Listen to what the top gives."""
    layouts = Layouts(config)
    shapes = {name: getattr(layouts, name) for name in ("command", "activation", "matrix")}
    if around:
        shapes = {"hash": layouts.hash, "report": layouts.report}
        shapes["weights"] = RowLayouts(config.wtu).row
    return {name: Collector(tb, name, shape) for name, shape in shapes.items()}


class Sequencer:
    """Sends jobs; writes each list of segments into the bank whose last walk has ended."""

    def __init__(self, tb: Bench, around: bool) -> None:
        """Make its streams."""
        self._tb = tb
        self._feed = tb.source("feed", FEED)
        self._segment = tb.source("list_segment", SEGMENT)
        self._write = tb.source("write_job", WRITE) if around else None
        self._fed: Sink = tb.sink("fed", FED)
        self.fed: list[dict[str, int]] = []
        tb.set(list_bank=0, list_clear=0)

    async def run(self, jobs: list[dict[str, Any]]) -> None:
        """Send all jobs and wait until every one is fed."""
        last: list[int] = []
        for number, job in enumerate(jobs):
            feed = dict(job["feed"])
            if "segments" in job:
                feed["bank"] = len(last) % BANKS
                await self._wait(last[-BANKS] + 1 if len(last) >= BANKS else 0)
                await self._list(feed["bank"], job["segments"], feed["columns"])
                last.append(number)
            if self._write is not None and "write" in job:
                self._write.send(job["write"])
            self._feed.send(feed)
        await self._wait(len(jobs))

    async def _wait(self, jobs: int) -> None:
        while len(self.fed) < jobs:
            self.fed.append(await self._fed.beat())

    async def _list(self, bank: int, segments: list[list[int]], tokens: int) -> None:
        tb = self._tb
        tb.set(list_bank=bank, list_clear=1)
        await tb.cycles(1)
        tb.set(list_clear=0)
        names = SEGMENT.members
        self._segment.send_all(dict(zip(names, segment, strict=True)) for segment in segments)
        await self._segment.drained()
        await tb.cycles(1)
        bits = len(tb.dut.list_entries.value) // BANKS
        entries = tb.get("list_entries") >> bank * bits & (1 << bits) - 1
        total = tb.get("list_tokens") >> bank * COLUMN_BITS & (1 << COLUMN_BITS) - 1
        if (entries, total) != (sum(1 for s in segments if s[2]), tokens):
            raise AssertionError(f"the list has {entries} segments, {total} tokens: {segments}")


@cocotb.test()
async def run(dut: Any) -> None:
    """Send all jobs, wait for all that must come."""
    given = arguments()
    config, around = from_dict(given["config"]), given["around"]
    tb = Bench(dut, seed=given["seed"], idle=given["idle"], stall=given["stall"])
    tb.set(**given["settings"])
    lines = {
        int(address): int.from_bytes(line.tobytes(), "little")
        for address, line in zip(given["addresses"], given["lines"], strict=True)
    }
    bad = set(given["bad"])
    clients: list[Any] = [
        ReadClient(tb, name, lines, bad, given) for name in ("read_rows", "read_matrix")
    ]
    found = collectors(tb, config, around)
    sequencer = Sequencer(tb, around)
    if around:
        clients.append(WriteClient(tb, "write_port", config, given))
        written = tb.sink("write_done", WRITTEN)
        mean = {"mean_job__valid": 0, "mean_key__valid": 0, "mean__ready": 0, "clear": 0}
        tb.set(**mean)
    await tb.reset()
    for client in clients:
        cocotb.start_soon(client.serve())
    await sequencer.run(given["jobs"])
    results: dict[str, Any] = {"fed": sequencer.fed}
    results["requests"] = [client.requests for client in clients[:2]]
    if around:
        jobs = [job for job in given["jobs"] if "write" in job]
        results["written"] = [(await written.beat())["fault"] for _ in jobs]
        elements = clients[2].elements
        results["places"] = np.array(list(elements), np.int64).reshape(-1, 2)
        results["elements"] = np.array(list(elements.values()), np.uint16)
    for name, collector in found.items():
        while len(collector.beats) < given["expected"][name]:
            await tb.cycles(1)
    await tb.finish()
    for name, collector in found.items():
        results |= collector.results(name)
    if tb.get("busy"):
        raise AssertionError("the feeder is busy though every job is fed")
    give(cycles=tb.cycle, **results)
