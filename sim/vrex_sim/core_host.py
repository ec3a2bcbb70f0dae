"""The host of a whole run: a trace through the core, on whatever device.

It does what memory management will do, and nothing else: it keeps the HC tables, the keys and the
values, and gathers what a command needs. Frame by frame, for each KV head: score the sealed
clusters and select, hash the frame's keys and cluster them; then, for each KV head, attend. Means
of clusters that were sealed are computed beside. All it goes by comes from the hardware.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex_hw.config import from_dict
from vrex_hw.registers import KVPU
from vrex_hw.registers.kvpu import COUNTERS, FAULTS, QUEUE_DEPTH
from vrex_sim.device import Device
from vrex_sim.head import INDEX, Head
from vrex_sim.lxe_jobs import Beats, LXEJobs
from vrex_sim.registers import Registers
from vrex_sim.tasks import until

Progress = Callable[[int, int], object]
STREAMS = {
    "assign": "m_axis_assign",
    "row": "m_axis_row",
    "selected": "m_axis_selected",
    "hash": "hash",
    "weights": "weights",
    "attention": "attention",
    "report": "report",
}
"""What is given back, and the stream that it comes from."""


class CoreHost:
    """Runs the trace that ``given`` tells of (:meth:`vrex_sim.core_jobs.CoreJobs.arguments`).

    ``progress`` hears of the frames that have been attended, and of how many.
    """

    def __init__(self, device: Device, given: dict[str, Any], progress: Progress) -> None:
        """Attach to the device's streams and registers."""
        self.device, self.given, self.progress = device, given, progress
        self.registers = Registers(device, "s_axil", KVPU.address)
        self.lxe = LXEJobs(from_dict(given["config"]), given["q"].shape[3])
        lengths = given["lengths"]
        self.frames, kv_heads = len(lengths), given["k"].shape[2]
        self.starts = np.cumsum(lengths) - lengths
        self.heads = [Head() for _ in range(kv_heads)]
        self.keys, self.values = (
            np.concatenate([given[name][f, :n] for f, n in enumerate(lengths)])
            for name in ("k", "v")
        )
        """[tokens of the stream, Hkv, d]."""
        self.clusters: deque[tuple[int, int, int]] = deque()
        """Cluster jobs that run: KV head, first token, tokens."""
        self.selects: deque[tuple[int, int]] = deque()
        """Select jobs that run: frame and KV head."""
        self.means: deque[int] = deque()
        """KV heads of the means to come."""
        self.selected: dict[tuple[int, int], NDArray[np.int64]] = {}
        self.attended = 0
        """Beats of attention to come, of the whole run."""
        self.scored = np.zeros((self.frames, kv_heads), np.int64)
        """[F, Hkv]: clusters sealed when the frame was scored."""

    async def run(self) -> dict[str, Any]:
        """Run the whole trace; return what :func:`vrex_sim.core_jobs.decode` takes."""
        device = self.device
        await self.registers.write(**self.given["settings"])
        for task in (self._assignments(), self._selections(), self._means()):
            device.start(task)
        for f in range(self.frames):
            for h in range(len(self.heads)):
                await self._score(f, h)
                await self._cluster(f, h)
            for h in range(len(self.heads)):
                await self._attend(f, h)
            await device.drained("command")
            self.progress(f + 1, self.frames)
        await device.packets("report", device.inputs["command"].sent)
        await device.packets("attention", self.attended)
        await until(lambda: all(head.stored == self.frames for head in self.heads))
        return await self._results()

    async def _results(self) -> dict[str, Any]:
        cycles = self.device.cycle
        status = await self.registers.read("status")
        for fault in FAULTS:
            if status & KVPU.mask["status"][fault.name]:
                raise self.device.fault(f"status says {fault.name}: {fault.doc}")
        results = {
            "cycles": cycles,
            "scored": self.scored,
            "counters": {name: await self.registers.read(name) for name, _ in COUNTERS},
        }
        for name, stream in STREAMS.items():
            results |= self.device.outputs[stream].results(name)
        return results

    def _send(self, commands: Iterable[Beats]) -> None:
        for beats in commands:
            self.device.send("command", beats.command)
            self.device.send("activation", beats.activation)
            self.device.send("matrix", beats.matrix)

    def _rows(self, name: str, f: int, h: int) -> NDArray[np.uint16]:
        """Return the queries that share a KV head, [G * T, d]: head by head, token by token."""
        tokens = self.given[name][f, : self.given["lengths"][f]]
        group = tokens.shape[1] // len(self.heads)
        return tokens[:, h * group : (h + 1) * group].swapaxes(0, 1).reshape(-1, tokens.shape[2])

    async def _score(self, f: int, h: int) -> None:
        """Start a select job and the scores that it takes."""
        head = self.heads[h]
        await until(lambda: head.stored == f and len(self.selects) < QUEUE_DEPTH)
        self.scored[f, h] = head.sealed
        self.selects.append((f, h))
        queries = self._rows("q_score", f, h)
        rows = len(queries) if head.sealed else 0
        await self.registers.write(rows=rows, command=KVPU.mask["command"]["start_select"])
        if rows:
            means, of_map = np.array(head.means), self.given["map"]
            self._send(self.lxe.score(queries, means, head.counts(), *of_map))

    async def _cluster(self, f: int, h: int) -> None:
        """Start a cluster job and the hash bits that it takes."""
        head, skip = self.heads[h], int(self.given["first_tokens"][f])
        keys = self.given["k_hash"][f, skip : self.given["lengths"][f], h]
        if not len(keys):
            head.frames += 1
            return
        await until(lambda: len(self.clusters) < QUEUE_DEPTH)
        first = int(self.starts[f]) + skip
        self.clusters.append((h, first, len(keys)))
        entries = head.table(self.device.inputs["s_axis_table"].stream.bytes - 4)
        self.device.send("s_axis_table", entries)
        await self.registers.write(
            first_index=first & INDEX,
            tokens=len(keys),
            base=head.sealed & INDEX,
            entries=len(entries),
            command=KVPU.mask["command"]["start_cluster"],
        )
        self._send(self.lxe.hash(keys, self.given["planes"]))

    async def _attend(self, f: int, h: int) -> None:
        """Attend, as soon as it is known which clusters were selected."""
        await until(lambda: (f, h) in self.selected)
        start, length = int(self.starts[f]), int(self.given["lengths"][f])
        before = self.heads[h].attended(
            start, self.given["sinks"], int(self.scored[f, h]), self.selected.pop((f, h))
        )
        tokens = np.concatenate([before, np.arange(start, start + length)])
        queries = self._rows("q", f, h)
        self.attended += len(queries) * self.lxe.chunks
        limits = len(before) + 1 + np.arange(len(queries)) % length
        self._send(self.lxe.attend(queries, self.keys[tokens, h], self.values[tokens, h], limits))

    async def _assignments(self) -> None:
        """Keep the tables, and have the means of sealed clusters computed."""
        while True:
            packet = await self.device.packet("m_axis_assign")
            h, first, tokens = self.clusters.popleft()
            words = packet[:, :4].view("<u4")[:, 0].tolist()
            if any(word >> 17 & 1 for word in words):
                raise self.device.fault("the HCU refused a job that fits its configuration")
            if len(words) != tokens + 1:
                raise self.device.fault(f"a cluster job of {tokens} tokens gave {len(words)} beats")
            beats = await self.device.packets("hash", tokens)
            head = self.heads[h]
            for i, word in enumerate(words[:-1]):
                bits = int.from_bytes(beats[i].tobytes(), "little")
                head.assign(word & INDEX, bool(word >> 16 & 1), first + i, bits)
            for number in head.seal(words[-1] & INDEX):
                job, keys = self.lxe.mean(self.keys[head.members[number], h])
                self.means.append(h)
                self.device.send("mean_job", job)
                self.device.send("mean_key", keys)
            head.frames += 1

    async def _means(self) -> None:
        """Keep the means, which come in the order of their jobs."""
        while True:
            beats = await self.device.packets("mean", self.lxe.chunks)
            self.heads[self.means.popleft()].means.append(self.lxe.rows(beats, 1)[0])

    async def _selections(self) -> None:
        """Keep what select jobs found, up to the frame's attention."""
        while True:
            packet = await self.device.packet("m_axis_selected")
            numbers = packet[:-1, :2].copy().view("<u2")[:, 0]
            self.selected[self.selects.popleft()] = numbers.astype(np.int64)
