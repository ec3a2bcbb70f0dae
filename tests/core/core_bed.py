"""A system of the tiny core that a host drives job by job, with stalls on every stream."""

import dataclasses
from collections.abc import Coroutine, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from resv_ref import generator
from resv_ref import run as reference
from vrex import Params
from vrex_hw.config import CONFIGS
from vrex_hw.kvmu.layouts import HEADER, STATUS, Fault
from vrex_hw.registers import CORE
from vrex_sim import sizing
from vrex_sim.compiled import CompiledDevice
from vrex_sim.core_host import CoreHost
from vrex_sim.core_jobs import CoreJobs, Setup, bits
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
PARAMS = Params(recent_window=12, join_window=8, cluster_cap=3, n_sinks=3, k_min=2, k_max=5)
TEXT = PARAMS.replace(wicsum_ratio=0.5, text_k_min=1, text_k_max=2)
"""Odd frames, which are text, select otherwise than the others."""
TOKENS, Q_HEADS, KV_HEADS, DIMENSION = 4, 4, 2, 16
CANARY = 0xA5
UNTOUCHED = (Fault.BAD_JOB, Fault.STATE_OPEN)
"""Faults of jobs for which nothing is done."""
Job = dict[str, Any]


@cache
def stream(params: Params, frames: int) -> Any:
    """Return a trace whose odd frames are text, and the tensors of its exact run."""
    trace = generator.generate(frames, TOKENS, Q_HEADS, KV_HEADS, DIMENSION, 1, params)
    trace = dataclasses.replace(trace, text=torch.arange(frames) % 2 == 1)
    expected, _ = reference.run(trace, params, "exact", **sizing.arithmetic(TINY))
    return trace, expected


class Bed:
    """The system, a stream of two heads in its memory, and what its outputs have to be.

    A job's part of the output is spoilt before it is started, and all of the output is compared
    by :meth:`check`: what a job without a fault has to write, and nothing else.
    """

    def __init__(
        self,
        verilog: str,
        *,
        params: Params = PARAMS,
        frames: int = 12,
        seed: int = 1,
        pause: float = 0.3,
        slow: Mapping[str, float] | None = None,
        room: int | None = None,
        link_limit: int = 3_000,
        **knobs: int,
    ) -> None:
        """``pause``: the chance a cycle that a stream pauses; ``knobs`` of memory and link.

        ``slow``: chances of outputs alone, in the place of ``pause``.
        """
        trace, self.tensors = stream(params, frames)
        self._expected, self._text = bits(self.tensors["attn_out"]), trace.text_steps
        stalls = {"memory_stall": int(96 * pause), "link_stall": int(96 * pause)}
        setup = Setup(
            room=room, fences=False, knobs={"link_late": 2 * link_limit, **stalls, **knobs}
        )
        work = CoreJobs(config=TINY, params=params, trace=trace, setup=setup)
        self.device = CompiledDevice(
            verilog, "system", seed=seed, idle=pause, stall=slow or pause, patience=60_000
        )
        given = {**work.arguments(), "link_limit": link_limit}
        self.host, self.place = CoreHost(self.device, given, lambda *_: None), work.placement
        self.ring_log2 = self.place.ring_log2
        self.started, self._pending = 0, []
        first, size = self.place.starts["out"], self.place.regions.line_bytes
        self._first = first
        self._want = np.full((self.place.starts["k"] - first, size), CANARY, np.uint8)
        self._known = np.ones(len(self._want), bool)

    def run(self, coroutine: Coroutine[Any, None, Any]) -> Any:
        """Run a host's coroutine to its end."""
        task = self.device.start(coroutine)
        self.device.tasks.run()
        while not task.done:
            self.device.cycles()
            self.device.tasks.run()
        return task.result

    async def begin(self, **settings: int) -> None:
        """Load the stream, all heads anew, and write the settings and others than those."""
        self.ring_log2 = settings.get("ring_log2", self.ring_log2)
        await self.host.prepare()
        await self.write(**settings)
        self.host.put(self._first, self._want)
        self.host.put(self.place.starts["end"], np.full_like(self._want[:1], CANARY))
        await self.device.drained("memory_load")

    async def write(self, **settings: int) -> None:
        """Write registers."""
        await self.host.registers.write(**settings)

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.host.registers.read(name)

    def job(self, frame: int, head: int, **changes: int) -> Job:
        """Return the job of a frame of a head."""
        text = bool(self._text[frame])
        return {**self.place.job(frame, head, TOKENS, fence=False, text=text), **changes}

    async def ring(self, *jobs: Job) -> None:
        """Put jobs into the ring and start them all at once."""
        lines = self.place.regions.job_lines
        for job in jobs:
            at = (self.started & (1 << self.ring_log2) - 1) * lines
            self.host.put(self.place.starts["ring"] + at, self.place.descriptor(job))
            self.started += 1
        await self._spoil(*jobs)
        await self.write(ring_tail=self.started & 0xFFFF)

    async def start(self, job: Job, *changed: str, fresh: bool = True) -> None:
        """Start a job by the registers; ``fresh``: it is expected to be queued.

        ``changed``: the fields that differ from the job before, if not all are to be written.
        """
        if fresh:
            await self._spoil(job)
        fields = {f"job_{name}": job[name] for name in changed or job}
        await self.write(**fields, command=CORE.mask["command"]["start"])

    async def ends(self, *, unread: bool = False) -> list[dict[str, int]]:
        """Wait for all jobs that were started; return their statuses.

        ``unread``: the ring may not be readable; the id of a job that was not read means nothing.
        """
        jobs, self._pending = self._pending, []
        beats = await self.device.packets("status", len(jobs))
        found = [Packer(STATUS).unpack(int.from_bytes(beat.tobytes(), "little")) for beat in beats]
        for job, status in zip(jobs, found, strict=True):
            known = not (unread and status["fault"] == Fault.BAD_JOB)
            assert status["id"] == job["id"] or not known
            lines = self._lines(job)
            if status["fault"] == Fault.NONE:
                frame, head = divmod(job["id"], KV_HEADS)
                group = Q_HEADS // KV_HEADS
                own = self._expected[frame, :, head * group : (head + 1) * group]
                self._want[lines], self._known[lines] = self.place.lines(own), True
            elif status["fault"] not in UNTOUCHED:
                self._known[lines] = False
        return found

    async def faults(self, *jobs: Job, unread: bool = False) -> list[Fault]:
        """Do jobs of the ring; return their faults."""
        await self.ring(*jobs)
        return [Fault(status["fault"]) for status in await self.ends(unread=unread)]

    async def do(self, *jobs: Job) -> None:
        """Do jobs of the ring that have no fault, and compare."""
        assert await self.faults(*jobs) == [Fault.NONE] * len(jobs)
        await self.check()

    async def frames(self, head: int, *frames: int) -> None:
        """Do frames of a head, one after the other, and compare."""
        await self.do(*(self.job(frame, head) for frame in frames))

    async def check(self) -> None:
        """Compare the whole of the output, and the line behind everything."""
        found = await self.host.dump(self._first, len(self._want))
        assert np.array_equal(found[self._known], self._want[self._known])
        assert (await self.host.dump(self.place.starts["end"], 1) == CANARY).all()

    def forget(self, job: Job) -> None:
        """Let :meth:`check` not look at a job's output."""
        self._known[self._lines(job)] = False

    async def header(self, head: int) -> dict[str, int]:
        """Return the header of a head's state."""
        line = await self.host.dump(self.place.state(head), 1)
        return Packer(HEADER).unpack(int.from_bytes(line.tobytes(), "little"))

    async def put_header(self, head: int, **fields: int) -> None:
        """Write the header of a head's state; without fields the head is begun anew."""
        packed = Packer(HEADER).pack(fields).to_bytes(self.place.regions.line_bytes, "little")
        self.host.put(self.place.state(head), np.frombuffer(packed, np.uint8)[None])
        await self.device.drained("memory_load")

    async def flags(self) -> set[str]:
        """Return the names of the bits that ``status`` has."""
        status = await self.read("status")
        return {name for name, mask in CORE.mask["status"].items() if status & mask}

    async def clear(self, *names: str) -> None:
        """Clear bits of ``status``."""
        await self.write(status=sum(CORE.mask["status"][name] for name in names))

    async def _spoil(self, *jobs: Job) -> None:
        for job in jobs:
            for line in self._lines(job):
                self.host.put(self._first + line, np.full_like(self._want[:1], CANARY))
            self._want[self._lines(job)] = CANARY
            self._known[self._lines(job)] = True
        self._pending += jobs
        await self.device.drained("memory_load")

    def _lines(self, job: Job) -> list[int]:
        """Return the lines of the output that a frame of its head has."""
        frame, head = divmod(job["id"], KV_HEADS)
        plain = self.job(frame, head)
        row = np.arange(plain["group"] * self.place.chunks)
        starts = plain["out"] - self._first + plain["q_stride"] * np.arange(TOKENS)
        return (starts[:, None] + row).reshape(-1).tolist()
