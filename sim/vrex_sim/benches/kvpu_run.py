"""Bench of the ``rtl`` engine: a whole trace through the KVPU, driven as a host would drive it.

Jobs go frame by frame, KV head by KV head, through both command queues. The HC table is kept from
what ``m_axis_assign`` says; the table of a head goes back in with its next job while the job
before still runs (a single head resumes instead). Everything that comes out is given back raw.

Arguments: what :meth:`vrex_sim.jobs.Jobs.arguments` tells, ``seed``, ``idle`` and
``stall``.
"""

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Event

from vrex_hw.config import Config, HCUConfig, WTUConfig
from vrex_hw.kvpu.layouts import stream_layouts
from vrex_hw.registers import ADDRESS, ADDRESS_BITS, MASK, QUEUE_DEPTH
from vrex_hw.registers.map import COUNTERS, FAULTS
from vrex_sim import axi
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give, tell

INDEX = 0xFFFF


class Recorder:
    """Keeps a sink's beats as bytes, and tells ``on_beat`` of each: data and whether it is last."""

    def __init__(self, sink: Sink, on_beat: Any = None) -> None:
        """Take the place of the sink's own keeping."""
        self._data_bits = sink.packer.width - 1
        self._bytes = self._data_bits // 8
        self._beats, self._cycles = bytearray(), list[int]()
        self.packets = 0
        self._on_beat = on_beat
        sink.on_beat = self._take

    def _take(self, packed: int, cycle: int) -> None:
        self._beats += packed.to_bytes(self._bytes + 1, "little")
        self._cycles.append(cycle)
        self.packets += packed >> self._data_bits
        if self._on_beat is not None:
            self._on_beat(packed & (1 << self._data_bits) - 1, packed >> self._data_bits)

    def results(self, name: str) -> dict[str, np.ndarray]:
        """Return what :meth:`vrex_sim.rows.Beats.of` reads."""
        beats = np.frombuffer(bytes(self._beats), dtype=np.uint8).reshape(-1, self._bytes + 1)
        return {name: beats, f"{name}_cycle": np.array(self._cycles, dtype=np.int64)}


class Table:
    """The open clusters of one KV head, as the host keeps them from the KVPU's assignments."""

    def __init__(self) -> None:
        """Start with no cluster."""
        self.base = 0
        self.entries: deque[dict[str, Any]] = deque()
        self.busy = False

    def assign(self, number: int, opened: int, token: int, bits: int) -> None:
        """Put a token where the KVPU says it belongs."""
        if opened:
            self.entries.append({"hash": {"bits": bits}, "first": token & INDEX, "count": 0})
        place = (number - self.base) & INDEX
        if place >= len(self.entries):
            raise AssertionError(f"token {token}: cluster {number} is not open")
        self.entries[place]["count"] += 1

    def seal(self, base: int) -> None:
        """Let the clusters below ``base`` go."""
        while self.base < base and self.entries:
            self.entries.popleft()
            self.base += 1


class Queue:
    """Jobs of one command queue that were started and have not finished."""

    def __init__(self) -> None:
        """Start with none."""
        self.jobs: deque[Any] = deque()
        self._changed = Event()

    def done(self) -> Any:
        """Take the oldest job out: it has finished."""
        self._changed.set()
        return self.jobs.popleft()

    async def until(self, condition: Any) -> None:
        """Wait until a job has finished and ``condition()`` holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class Host:
    """Feeds the KVPU and keeps the HC tables."""

    def __init__(self, dut: Any, given: dict[str, Any]) -> None:
        """Attach to every stream and to the registers."""
        config = Config(hcu=HCUConfig(**given["hcu"]), wtu=WTUConfig(**given["wtu"]))
        layouts = stream_layouts(config)
        self.given, self.lanes = given, config.wtu.lanes
        self.tb = tb = Bench(dut, seed=given["seed"], idle=given["idle"], stall=given["stall"])
        self.registers = axi.Registers(tb, "s_axil", dict(ADDRESS), ADDRESS_BITS)
        self.table = axi.stream_source(tb, "s_axis_table", layouts["s_axis_table"], last=False)
        self.hash = axi.stream_source(tb, "s_axis_hash", layouts["s_axis_hash"], last=False)
        self.row = axi.stream_source(tb, "s_axis_row", layouts["s_axis_row"], keep=True)
        self.assign = Recorder(self._sink("m_axis_assign", layouts), self._assigned)
        self.rows = Recorder(self._sink("m_axis_row", layouts))
        self.union = Recorder(self._sink("m_axis_selected", layouts), self._united)
        self.frames, self.heads = given["rows"].shape
        self.tables = [Table() for _ in range(self.heads)]
        self.clusters, self.selects = Queue(), Queue()
        self.selected = 0

    def _sink(self, name: str, layouts: Any) -> Sink:
        return axi.stream_sink(self.tb, name, layouts[name])

    def _assigned(self, data: int, last: int) -> None:
        table, tokens = self.clusters.jobs[0]
        number, opened, error = data & 0xFFFF, data >> 16 & 1, data >> 17 & 1
        if error:
            raise AssertionError("the HCU refused a job that fits its configuration")
        if bool(tokens) == bool(last):
            raise AssertionError(f"a cluster job's trailer comes with {len(tokens)} tokens to go")
        if not last:
            table.assign(number, opened, *tokens.popleft())
            return
        table.seal(number)
        table.busy = False
        self.clusters.done()

    def _united(self, _: int, last: int) -> None:
        if last:
            self.selects.done()
            self.selected += 1
            tell(self.selected, self.frames * self.heads)

    async def cluster(self) -> None:
        """Start every cluster job."""
        start, resume = 0, False
        for f, length in enumerate(self.given["lengths"].tolist()):
            first = int(self.given["first_tokens"][f])
            for h, table in enumerate(self.tables):
                bits = self.given["hash_bits"][f, first:length, h].tolist()
                if bits:
                    await self._cluster_job(table, start + first, bits, resume)
                    resume = self.heads == 1
            start += length

    async def _cluster_job(self, table: Table, first: int, bits: list[int], resume: bool) -> None:
        queue = self.clusters
        await queue.until(lambda: len(queue.jobs) < QUEUE_DEPTH and (resume or not table.busy))
        entries = [] if resume else list(table.entries)
        table.busy = True
        queue.jobs.append((table, deque((first + i, b) for i, b in enumerate(bits))))
        self.table.send_all({"data": entry} for entry in entries)
        self.hash.send_all({"data": {"bits": b}} for b in bits)
        await self.registers.write(
            first_index=first & INDEX,
            tokens=len(bits),
            base=table.base,
            entries=len(entries),
            resume=int(resume),
            command=MASK["command"]["start_cluster"],
        )

    async def select(self) -> None:
        """Start every select job; a row's last beat has TLAST and keeps its live entries only."""
        beat, width = 0, 32 * self.lanes
        whole = (1 << 4 * self.lanes) - 1 << width
        for rows, n in zip(
            self.given["rows"].ravel().tolist(),
            self.given["clusters"].ravel().tolist(),
            strict=True,
        ):
            await self.selects.until(lambda: len(self.selects.jobs) < QUEUE_DEPTH)
            self.selects.jobs.append(rows)
            beats = -(-n // self.lanes)
            tail = (1 << 4 * (n - (beats - 1) * self.lanes)) - 1 << width
            tail |= 1 << width + 4 * self.lanes
            data = self.given["row_beats"][beat : beat + rows * beats]
            beat += rows * beats
            self.row.send_packed(
                int.from_bytes(d.tobytes(), "little") | (whole if (i + 1) % beats else tail)
                for i, d in enumerate(data)
            )
            await self.registers.write(rows=rows, command=MASK["command"]["start_select"])

    async def check(self) -> None:
        """Fail if a row went unanswered or the status register tells a fault."""
        sent = int(self.given["rows"].sum())
        if self.rows.packets != sent:
            raise AssertionError(f"{sent} rows sent, {self.rows.packets} answered")
        status = await self.registers.read("status")
        for fault in FAULTS:
            if status & MASK["status"][fault.name]:
                raise AssertionError(f"status says {fault.name}: {fault.doc}")


@cocotb.test()
async def run(dut: Any) -> None:
    """Run the whole trace."""
    given = arguments()
    host = Host(dut, given)
    await host.tb.reset()
    await host.registers.write(**given["settings"])
    clusters = cocotb.start_soon(host.cluster())
    await host.select()
    await clusters
    await host.clusters.until(lambda: not host.clusters.jobs)
    await host.selects.until(lambda: not host.selects.jobs)
    cycles = host.tb.cycle
    await host.tb.finish()
    await host.check()
    give(
        cycles=cycles,
        origin=host.tb.origin,
        counters={name: await host.registers.read(name) for name, _ in COUNTERS},
        **host.assign.results("assign"),
        **host.rows.results("row"),
        **host.union.results("selected"),
    )
