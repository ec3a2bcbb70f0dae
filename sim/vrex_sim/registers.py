"""A host's reads and writes of 32-bit registers over AXI4-Lite."""

from collections.abc import Mapping

import numpy as np

from vrex_sim.device import Device
from vrex_sim.ports import Bytes
from vrex_sim.tasks import until


class Registers:
    """The registers behind the AXI4-Lite port ``prefix`` of a device, by name.

    Accesses of several tasks queue up. An answer other than OKAY fails the run.
    """

    def __init__(self, device: Device, prefix: str, addresses: Mapping[str, int]) -> None:
        """``addresses`` names the registers."""
        self._device, self._prefix, self._addresses = device, prefix, addresses
        self._busy = False

    async def write(self, **values: int) -> None:
        """Write registers, in the order given; nobody else's access comes between."""
        await self._begin()
        for name, value in values.items():
            self._send("aw", self._addresses[name].to_bytes(2, "little") + b"\0")
            self._send("w", value.to_bytes(4, "little") + b"\x0f")
        for name in values:
            self._check(name, await self._device.packet(f"{self._prefix}_b"))
        self._busy = False

    async def read(self, name: str) -> int:
        """Read one register."""
        await self._begin()
        self._send("ar", self._addresses[name].to_bytes(2, "little") + b"\0")
        answer = await self._device.packet(f"{self._prefix}_r")
        self._busy = False
        self._check(name, answer)
        return int.from_bytes(answer[0, :4].tobytes(), "little")

    async def _begin(self) -> None:
        await until(lambda: not self._busy)
        self._busy = True

    def _send(self, channel: str, beat: bytes) -> None:
        self._device.send(f"{self._prefix}_{channel}", np.frombuffer(beat, np.uint8)[None])

    def _check(self, name: str, answer: Bytes) -> None:
        """The response is the last byte of either answer."""
        if answer[0, -1]:
            raise self._device.fault(f"register {name} answered with response {answer[0, -1]}")
