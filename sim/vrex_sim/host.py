"""The host of a whole run: a trace's jobs through the KVPU, on whatever device.

Jobs go frame by frame, KV head by KV head, through both command queues. The HC table is kept from
what ``m_axis_assign`` says; the table of a head goes back in with its next job while the job
before still runs (a single head resumes instead). Everything that comes out is given back raw.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex_hw.registers import ADDRESS, MASK, QUEUE_DEPTH
from vrex_hw.registers.map import COUNTERS, FAULTS
from vrex_sim import rows
from vrex_sim.device import Device
from vrex_sim.ports import Bytes
from vrex_sim.registers import Registers
from vrex_sim.tasks import until

INDEX = 0xFFFF
Progress = Callable[[int, int], object]


class Table:
    """The open clusters of one KV head, as the host keeps them from the KVPU's assignments."""

    def __init__(self) -> None:
        """Start with no cluster."""
        self.base = 0
        self.hashes: deque[int] = deque()
        self.first: deque[int] = deque()
        self.counts: deque[int] = deque()
        self.busy = False

    def assign(self, number: int, opened: int, token: int, bits: int) -> None:
        """Put a token where the KVPU says it belongs; raises ValueError if that is not open."""
        if opened:
            self.hashes.append(bits)
            self.first.append(token & INDEX)
            self.counts.append(0)
        place = (number - self.base) & INDEX
        if place >= len(self.counts):
            raise ValueError(f"token {token}: cluster {number} is not open")
        self.counts[place] += 1

    def seal(self, base: int) -> None:
        """Let the clusters below ``base`` go."""
        while self.base < base and self.counts:
            for column in (self.hashes, self.first, self.counts):
                column.popleft()
            self.base += 1


class Host:
    """Feeds the KVPU of a device and keeps the HC tables.

    ``given`` is what :meth:`vrex_sim.jobs.Jobs.arguments` tells; ``progress`` hears of select
    jobs that are done, and of how many.
    """

    def __init__(self, device: Device, given: dict[str, Any], progress: Progress) -> None:
        """Attach to the device's streams and registers."""
        self.device, self.given, self.progress = device, given, progress
        self.registers = Registers(device, "s_axil", ADDRESS)
        self.frames, self.heads = given["rows"].shape
        self.tables = [Table() for _ in range(self.heads)]
        self.clusters: deque[tuple[Table, int, list[int]]] = deque()
        """Cluster jobs that run: the table, the first token and the hash bits."""
        self.selects: deque[int] = deque()
        """Select jobs that run: their rows."""

    async def run(self) -> dict[str, Any]:
        """Run the whole trace; return what :func:`vrex_sim.jobs.decode` takes."""
        device = self.device
        await self.registers.write(**self.given["settings"])
        device.start(self._assignments())
        device.start(self._unions())
        clusters = device.start(self._cluster())
        await self._select()
        await until(lambda: clusters.done and not self.clusters and not self.selects)
        cycles = device.cycle
        await self._check()
        return {
            "cycles": cycles,
            "counters": {name: await self.registers.read(name) for name, _ in COUNTERS},
            **device.outputs["m_axis_assign"].results("assign"),
            **device.outputs["m_axis_row"].results("row"),
            **device.outputs["m_axis_selected"].results("selected"),
        }

    async def _assignments(self) -> None:
        """Keep the tables by the packets of cluster jobs."""
        while True:
            packet = await self.device.packet("m_axis_assign")
            table, first, bits = self.clusters[0]
            words = packet[:, :4].view("<u4")[:, 0].tolist()
            if any(word >> 17 & 1 for word in words):
                raise self.device.fault("the HCU refused a job that fits its configuration")
            if len(words) != len(bits) + 1:
                raise self.device.fault(
                    f"a cluster job of {len(bits)} tokens gave {len(words)} beats"
                )
            for index, (word, of_token) in enumerate(zip(words, bits, strict=False)):
                table.assign(word & INDEX, word >> 16 & 1, first + index, of_token)
            table.seal(words[-1] & INDEX)
            table.busy = False
            self.clusters.popleft()

    async def _unions(self) -> None:
        """Note select jobs that are done."""
        total = self.frames * self.heads
        for done in range(1, total + 1):
            await self.device.packet("m_axis_selected")
            self.selects.popleft()
            self.progress(done, total)

    async def _cluster(self) -> None:
        """Start every cluster job."""
        start, resume = 0, False
        for f, length in enumerate(self.given["lengths"].tolist()):
            first = int(self.given["first_tokens"][f])
            for h, table in enumerate(self.tables):
                bits = self.given["hash_bits"][f, first:length, h]
                if len(bits):
                    await self._cluster_job(table, start + first, bits, resume)
                    resume = self.heads == 1
            start += length

    async def _cluster_job(
        self, table: Table, first: int, bits: NDArray[np.uint64], resume: bool
    ) -> None:
        queue = self.clusters
        await until(lambda: len(queue) < QUEUE_DEPTH and (resume or not table.busy))
        table.busy = True
        queue.append((table, first, bits.tolist()))
        entries = 0 if resume else len(table.counts)
        if entries:
            columns = (table.first, table.counts)
            numbers = np.array(columns, "<u2").T.copy().view(np.uint8)
            self.device.send("s_axis_table", np.hstack([self._hashes(table.hashes), numbers]))
        self.device.send("s_axis_hash", self._hashes(bits))
        await self.registers.write(
            first_index=first & INDEX,
            tokens=len(bits),
            base=table.base,
            entries=entries,
            resume=int(resume),
            command=MASK["command"]["start_cluster"],
        )

    def _hashes(self, bits: Any) -> Bytes:
        """Return hashes as bytes, as many as the device takes for each."""
        size = self.device.inputs["s_axis_hash"].stream.bytes
        return np.array(bits, "<u8")[:, None].view(np.uint8)[:, :size]

    async def _select(self) -> None:
        """Start every select job."""
        beat = 0
        lanes = self.given["wtu"]["lanes"]
        of_jobs = zip(
            self.given["rows"].ravel().tolist(),
            self.given["clusters"].ravel().tolist(),
            strict=True,
        )
        for count, clusters in of_jobs:
            await until(lambda: len(self.selects) < QUEUE_DEPTH)
            self.selects.append(count)
            beats = count * -(-clusters // lanes)
            if beats:
                data = self.given["row_beats"][beat : beat + beats]
                self.device.send("s_axis_row", rows.frame(data, clusters, lanes))
            beat += beats
            await self.registers.write(rows=count, command=MASK["command"]["start_select"])

    async def _check(self) -> None:
        """Fail if a row went unanswered or the status register tells a fault."""
        sent, answered = int(self.given["rows"].sum()), self.device.outputs["m_axis_row"].packets
        if answered != sent:
            raise self.device.fault(f"{sent} rows sent, {answered} answered")
        status = await self.registers.read("status")
        for fault in FAULTS:
            if status & MASK["status"][fault.name]:
                raise self.device.fault(f"status says {fault.name}: {fault.doc}")
