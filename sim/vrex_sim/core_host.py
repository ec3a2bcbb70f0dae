"""The host of a whole run: a trace through the core, on whatever device.

It puts tensors and jobs into device memory, starts the ring and waits; everything else the core
does by itself. What passes between its units is written down on the way.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex_hw.config import from_dict
from vrex_hw.lxe.layouts import ScoreMap
from vrex_hw.registers import CORE, Access
from vrex_hw.registers.core import FAULTS
from vrex_sim.device import Device
from vrex_sim.placement import Placement
from vrex_sim.ports import Bytes
from vrex_sim.registers import Registers

Progress = Callable[[int, int], object]
STREAMS = {
    "assign": "m_axis_assign",
    "row": "m_axis_row",
    "selected": "m_axis_selected",
    "hash": "hash",
    "weights": "weights",
    "report": "report",
    "status": "status",
    "activity": "activity",
}
"""What is given back, and the stream that it comes from."""
LINK_LIMIT = 1_000_000
"""Cycles that a request to the host link may take."""


class CoreHost:
    """Runs the trace that ``given`` tells of (:meth:`vrex_sim.core_jobs.CoreJobs.arguments`).

    ``progress`` hears of the jobs that have ended, and of how many.
    """

    def __init__(self, device: Device, given: dict[str, Any], progress: Progress) -> None:
        """Attach to the system's streams and registers."""
        self.device, self.given, self.progress = device, given, progress
        self.registers = Registers(device, "s_axil", CORE.address)
        self.place = Placement(config=from_dict(given["config"]), **given["sizes"])

    async def run(self) -> dict[str, Any]:
        """Run the whole trace; return what :func:`vrex_sim.core_jobs.decode` takes."""
        device, place, given = self.device, self.place, self.given
        await self.prepare()
        ring = place.ring(given["lengths"], given["text"], given["fences"])
        self.put(place.starts["ring"], ring)
        await device.drained("memory_load")
        began = device.cycle
        await self.registers.write(ring_tail=place.jobs)
        for done in range(place.jobs):
            await device.packet("status")
            self.progress(done + 1, place.jobs)
        ended = device.cycle
        results = {"began": began, "cycles": ended - began, **await self._results()}
        out = place.starts["out"]
        results["attention"] = await self.dump(out, place.starts["k"] - out)
        return results

    async def prepare(self) -> None:
        """Set the knobs and the registers; load all but the jobs."""
        for name, value in self.given["knobs"].items():
            self.device.set(name, value)
        await self.settle()
        self._load()
        for where in ("memory", "link"):
            await self.device.drained(f"{where}_load")

    async def settle(self, **others: int) -> None:
        """Write the settings of the run, and ``others``: after a reset they are gone."""
        self.registers = Registers(self.device, "s_axil", CORE.address)
        await self.registers.write(**self.given["settings"], **self._settings(), **others)

    async def submit(self, index: int, job: dict[str, Any]) -> None:
        """Put the run's job number ``index`` into the ring, and start it."""
        lines, place = self.place.descriptor(job), self.place
        at = (index & (1 << place.ring_log2) - 1) * len(lines)
        self.put(place.starts["ring"] + at, lines)
        await self.device.drained("memory_load")
        await self.registers.write(ring_tail=index + 1 & 0xFFFF)

    def put(self, line: int, lines: Bytes) -> None:
        """Write lines [n, bytes] of device memory."""
        self._send("memory", np.arange(line, line + len(lines)), lines)

    async def dump(self, line: int, count: int) -> Bytes:
        """Return ``count`` lines of device memory."""
        addresses = np.arange(line, line + count, dtype="<u4")[:, None].view(np.uint8)
        self.device.send("memory_dump", addresses)
        return await self.device.packets("memory_dumped", count)

    def _settings(self) -> dict[str, int]:
        """Return what the registers say of the run."""
        given, at, d = self.given, self.place.starts, self.place.head_dim
        score_map, temperature = given["map"]
        scale = 1 / math.sqrt(d)
        return {
            "n_sinks": given["sinks"],
            "dimension": d,
            "n_hyperplanes": self.place.hyperplanes,
            "scale_score": _float32(scale),
            "scale_attend": _float32(math.log2(math.e) * scale),
            "score_map": ScoreMap[score_map.upper()],
            "score_temperature": int(math.log2(temperature)) & 15,
            "policy": given["policy"],
            "resident_room": given["room"],
            "link_limit": given.get("link_limit", LINK_LIMIT),
            "ring_log2": self.place.ring_log2,
            "write_statuses": 1,
            **{name: at[name] for name in ("planes", "transient", "ring", "statuses")},
        }

    def _load(self) -> None:
        """Put everything into device memory, and what the heads hold already."""
        given, place, at = self.given, self.place, self.place.starts
        for name in ("q", "q_score", "k", "v", "k_hash"):
            self.put(at[name], place.lines(given[name]))
        self.put(at["planes"], place.planes(given["planes"]))
        for where in ("memory", "link"):
            self._send(where, given[f"{where}_addresses"], given[f"{where}_lines"])

    def _send(self, where: str, addresses: NDArray[np.int64], lines: Bytes) -> None:
        packed = addresses.astype("<u4")[:, None].view(np.uint8)
        self.device.send(f"{where}_load", np.hstack([packed, lines]))

    async def _results(self) -> dict[str, Any]:
        status = await self.registers.read("status")
        for fault in FAULTS:
            if status & CORE.mask["status"][fault.name]:
                last = await self.registers.read("last_status")
                raise self.device.fault(f"status says {fault.name}: {fault.doc} ({last:#x})")
        counters = [register.name for register in CORE.of(Access.COUNTER)]
        results: dict[str, Any] = {
            "counters": {name: await self.registers.read(name) for name in counters},
        }
        for name, stream in STREAMS.items():
            results |= self.device.outputs[stream].results(name)
        return results


def _float32(value: float) -> int:
    return int(np.float32(value).view(np.uint32))
