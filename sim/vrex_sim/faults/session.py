"""A session of the campaign: a system, a stream, and one thing after the other that goes wrong."""

import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from resv_ref.trace import Trace
from vrex import HardwareError
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import HEADER, STATUS, Fault
from vrex_hw.models.link_server import LinkFault
from vrex_hw.registers import CORE
from vrex_sim.compiled import CompiledDevice
from vrex_sim.core_host import CoreHost
from vrex_sim.core_jobs import CoreJobs, Setup, bits
from vrex_sim.packer import Packer
from vrex_sim.ports import Bytes

LINK_LIMIT = 3_000
"""Cycles after which a request to the host link is late."""
CANARY = 0xA5
"""What memory behind the parts holds, and outputs that are still to come."""
KINDS = (
    "memory_read",
    "memory_write",
    *(f"link_{fault.name.lower()}" for fault in LinkFault if fault),
    "reset",
)
"""What can go wrong."""


@dataclass
class Outcome:
    """What a fault led to: jobs with a fault in their status, and whether it was met at all."""

    kind: str
    flagged: int
    met: bool


class Session:
    """One fresh system, whose heads run ``trace`` frame by frame, over again when they die."""

    def __init__(
        self, config: Config, verilog: str, trace: Trace, expected: dict[str, Tensor], seed: int
    ) -> None:
        """``expected``: what an exact run of the trace gives; the session is that of ``seed``."""
        self._random = random.Random(seed)
        draw = self._random.randrange
        knobs = {
            "memory_latency": draw(64),
            "memory_stall": draw(2) * draw(96),
            "link_latency": draw(400),
            "link_interval": 16 + draw(64),
            "link_stall": draw(2) * draw(96),
            "link_late": 2 * LINK_LIMIT,
        }
        setup = Setup(room=draw(config.kvmu.resident_slots + 1), fences=False, knobs=knobs)
        self._work = CoreJobs(config=config, params=trace.params, trace=trace, setup=setup)
        self._device = CompiledDevice(verilog, "system", seed=seed, patience=60_000)
        given = {**self._work.arguments(), "link_limit": LINK_LIMIT}
        self._host = CoreHost(self._device, given, lambda *_: None)
        self._place = self._work.placement
        self._expected = bits(expected["attn_out"])
        self._started = 0
        self._epoch = 0

    def begin(self) -> None:
        """Load the stream, with canaries around it, and all heads anew."""
        self._run(self._begin())

    def fault(self) -> Outcome:
        """Let one thing go wrong while every head runs a frame; check all that comes of it.

        Raises :class:`~vrex.HardwareError` for a wrong output that is not flagged, a write out of
        bounds, a state that looks whole and is not, and a hang.
        """
        kind = self._random.choice(KINDS)
        frames = [self._run(self._frame(h)) for h in range(self._place.kv_heads)]
        self._arm(kind)
        if kind == "reset":
            self._cut(frames)
            return Outcome(kind, 0, True)
        statuses = self._run(self._jobs(frames))
        self._disarm()
        self._check(kind, frames, statuses)
        flagged = sum(status["fault"] != Fault.NONE for status in statuses)
        return Outcome(kind, flagged, bool(self._run(self._unknown()) or flagged))

    def end(self) -> None:
        """Check that nothing was written where nobody may."""
        if self._run(self._guards()):
            raise HardwareError("a line outside of every region was written")
        if self._device.get("link_broken"):
            raise HardwareError("a packet to the host had another length than its request")

    def _run(self, coroutine: Coroutine[Any, None, Any]) -> Any:
        """Run a coroutine to its end; what passes between the units meanwhile is not read."""
        task = self._device.start(coroutine)
        self._device.tasks.run()
        while not task.done:
            self._device.cycles()
            self._device.tasks.run()
        return task.result

    def _arm(self, kind: str) -> None:
        """Order a fault within the next jobs."""
        draw = self._random.randrange
        if kind.startswith("memory"):
            self._device.set(f"{kind}_fault_at", 1 + draw(160 if kind == "memory_read" else 80))
        elif kind.startswith("link"):
            self._device.set("link_fault", LinkFault[kind.removeprefix("link_").upper()])
            self._device.set("link_fault_at", 1 + draw(6))

    def _disarm(self) -> None:
        for name in ("memory_read_fault_at", "memory_write_fault_at", "link_fault_at"):
            self._device.set(name, 0)

    def _cut(self, frames: list[int]) -> None:
        """Reset in mid-job; what a head's header then says is whole or flagged."""
        device = self._device
        device.start(self._submit(frames))
        end = device.cycle + 1 + self._random.randrange(4_000)
        while device.cycle < end:
            device.tasks.run()
            device.cycles(end - device.cycle)
        device.reset()
        self._epoch = self._epoch + 0x1000 & 0xFFFF
        self._started = 0
        self._run(self._host.settle(link_epoch=self._epoch))

    async def _begin(self) -> None:
        await self._host.prepare()
        place = self._place
        guard = np.full((1, place.regions.line_bytes), CANARY, np.uint8)
        for line in self._lines():
            self._host.put(line, guard)
        await self._device.drained("memory_load")

    def _lines(self) -> list[int]:
        """Return lines that belong to nothing: behind every part."""
        place = self._place
        return [place.starts["end"], place.starts["end"] + 1]

    async def _guards(self) -> bool:
        found = [await self._host.dump(line, 1) for line in self._lines()]
        return any((lines != CANARY).any() for lines in found)

    async def _frame(self, head: int) -> int:
        """Return the frame that comes next for ``head``, by its header; begin it anew if busy."""
        place = self._place
        lines = await self._host.dump(place.state(head), 1)
        header = Packer(HEADER).unpack(int.from_bytes(lines[0].tobytes(), "little"))
        frame = int(header["tokens"]) // place.tokens
        if header["busy"] or frame >= place.frames:
            self._host.put(place.state(head), np.zeros((1, place.regions.line_bytes), np.uint8))
            frame = 0
        await self._spoil(frame, head)
        return frame

    async def _spoil(self, frame: int, head: int) -> None:
        """Overwrite the output of a job, which may have been done before, with what is none."""
        place = self._place
        job = place.job(frame, head, place.tokens, fence=False)
        size = job["group"] * place.chunks
        for t in range(place.tokens):
            spoilt = np.full((size, place.regions.line_bytes), CANARY, np.uint8)
            self._host.put(job["out"] + t * job["q_stride"], spoilt)
        await self._device.drained("memory_load")

    async def _unknown(self) -> bool:
        """Return whether the link gave what nobody had asked for, since this was asked last."""
        mask = CORE.mask["status"]["link_unknown"]
        seen = await self._host.registers.read("status") & mask
        await self._host.registers.write(status=mask)
        return bool(seen)

    async def _submit(self, frames: list[int]) -> None:
        """Put a job for each head into the ring and start it."""
        place = self._place
        for head, frame in enumerate(frames):
            await self._host.submit(
                self._started, place.job(frame, head, place.tokens, fence=False)
            )
            self._started += 1

    async def _jobs(self, frames: list[int]) -> list[dict[str, int]]:
        await self._submit(frames)
        beats = await self._device.packets("status", len(frames))
        packer = Packer(STATUS)
        return [packer.unpack(int.from_bytes(beat.tobytes(), "little")) for beat in beats]

    def _check(self, kind: str, frames: list[int], statuses: list[dict[str, int]]) -> None:
        """Compare the outputs of the jobs that were not flagged."""
        place = self._place
        group = place.q_heads // place.kv_heads
        for head, (frame, status) in enumerate(zip(frames, statuses, strict=True)):
            if status["fault"] != Fault.NONE:
                continue
            lines = self._run(self._output(frame))
            own = slice(head * group, (head + 1) * group)
            got = place.tensor(lines, place.tokens, place.q_heads)[:, own]
            if not np.array_equal(got, self._expected[frame, :, own]):
                raise HardwareError(f"{kind}: frame {frame} of head {head} is wrong, not flagged")

    async def _output(self, frame: int) -> Bytes:
        place = self._place
        size = place.tokens * place.q_heads * place.chunks
        return await self._host.dump(place.starts["out"] + frame * size, size)
