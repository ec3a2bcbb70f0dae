"""Ports without a handshake: what counts is there in the cycle in which ``valid`` is 1."""

from typing import Any

import cocotb
from cocotb.triggers import Event, RisingEdge

from vrex_sim.drivers import Bench
from vrex_sim.packer import Packer


class Pulses:
    """Keeps what the output port ``name`` gives: packed values, each with its cycle.

    ``shape`` is a structure with a field ``valid``. Made before :meth:`Bench.reset`.
    """

    def __init__(self, bench: Bench, name: str, shape: Any) -> None:
        """Watch from now on."""
        self.came: list[tuple[int, int]] = []
        self.packer = Packer(shape)
        self._bench, self._port = bench, getattr(bench.dut, name)
        self._valid = self.packer.pack({"valid": 1})
        self._event = Event()
        cocotb.start_soon(self._watch())

    async def count(self, wanted: int) -> None:
        """Wait until ``wanted`` pulses have come."""
        while len(self.came) < wanted:
            self._event.clear()
            await self._event.wait()

    def values(self) -> list[Any]:
        """Return what came, unpacked."""
        return [self.packer.unpack(packed) for packed, _ in self.came]

    async def _watch(self) -> None:
        clock, reset = self._bench.dut.clk, self._bench.dut.rst
        while True:
            await RisingEdge(clock)
            if reset.value == 1:
                continue
            packed = int(self._port.value)
            if packed & self._valid:
                self.came.append((packed, self._bench.cycle))
                self._event.set()
