"""Bench of the behavioural memory alone, on cocotbext-axi's manager.

Arguments: ``config``, ``lines``, ``seed``, ``idle``, ``stall``; ``phases``, a list of knobs (the
memory's plain inputs) and accesses that run side by side under them: [address, bytes or a number
to read, size of a beat as a power of two]. An access is compared with a Python image of the memory;
accesses of a phase do not overlap. ``expected`` answers, where not OKAY, by phase and access.

Gives back ``read`` and ``write``: for each burst the cycle of its AR (last W) and of the first
RVALID (BVALID), and ``beats``, the cycles in which a beat of R moved.
"""

import logging
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiMaster

from vrex_hw.config import from_dict
from vrex_hw.memory.layouts import Sizes
from vrex_sim.axi_memory import coin
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


class Watch:
    """Cycles of what moves on the bus, for latencies and rates."""

    def __init__(self, bench: Bench) -> None:
        """Watch from now on."""
        self.moves: dict[str, list[int]] = {"ar": [], "r": [], "w": [], "b": [], "aw": []}
        self.offers: dict[str, list[int]] = {"r": [], "b": []}
        self._bench = bench
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self._bench.dut
        last, new = {"r": dut.s_axi_rlast, "w": dut.s_axi_wlast}, {"r": True, "b": True}
        while True:
            await RisingEdge(dut.clk)
            if dut.rst.value == 1:
                continue
            for channel, moves in self.moves.items():
                valid = getattr(dut, f"s_axi_{channel}valid").value == 1
                ready = getattr(dut, f"s_axi_{channel}ready").value == 1
                ends = channel not in last or last[channel].value == 1
                if valid and channel in self.offers and new[channel]:
                    self.offers[channel].append(self._bench.cycle)
                if valid and channel in new:
                    new[channel] = ready and ends
                if valid and ready and (channel != "w" or ends):
                    moves.append(self._bench.cycle)


class Master:
    """The manager, the memory's image, and the backdoor."""

    def __init__(self, dut: Any, a: dict[str, Any]) -> None:
        """Attach."""
        self.a, config = a, from_dict(a["config"])
        self.tb = Bench(dut, seed=a["seed"], idle=a["idle"], patience=50_000)
        self.byte = Sizes(config).line_bytes
        self.image = bytearray(random.Random(a["seed"]).randbytes(a["lines"] * self.byte))
        self.load = self.tb.source("load", 32 + 8 * self.byte)
        self.dump = self.tb.source("dump", 32)
        self.dumped = self.tb.sink("dumped", 8 * self.byte, stall=a["stall"])
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.axi = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        read, write = self.axi.read_if, self.axi.write_if
        channels = (write.aw_channel, write.w_channel, read.ar_channel)
        for number, channel in enumerate((*channels, write.b_channel, read.r_channel)):
            chance = a["idle"] if number < 3 else a["stall"]
            if chance:
                channel.set_pause_generator(coin(random.Random(f"{a['seed']} {number}"), chance))
        self.watch = Watch(self.tb)

    async def run(self) -> dict[str, Any]:
        """Load, go through the phases, dump and compare all."""
        self.tb.set(latency=0, stall=0, read_fault_at=0, write_fault_at=0)
        await self.tb.reset()
        lines = self.a["lines"]
        self.load.send_packed(n | self._line(n) << 32 for n in range(lines))
        self.load.send_packed([lines, (1 << 32) - 1])  # no memory there
        await self.load.drained()
        for number, (knobs, accesses) in enumerate(self.a["phases"]):
            self.tb.set(**knobs)
            await self.tb.cycles(2)
            expected = self.a["expected"].get(str(number), {})
            tasks = [
                cocotb.start_soon(self._access(access, expected.get(str(k), 0)))
                for k, access in enumerate(accesses)
            ]
            for task in tasks:
                await task
        self.dump.send_packed(range(lines))
        for n in range(lines):
            line = await self.dumped.beat()
            assert line == self._line(n), f"line {n}: {line:x}, not {self._line(n):x}"
        await self.tb.finish()
        moves, offers = self.watch.moves, self.watch.offers
        return {
            "read": np.array([moves["ar"], offers["r"]]),
            "write": np.array([moves["w"], offers["b"]]),
            "beats": np.array(moves["r"]),
        }

    def _line(self, number: int) -> int:
        return int.from_bytes(self.image[number * self.byte :][: self.byte], "little")

    async def _access(self, access: list[Any], answer: int) -> None:
        """Read a number of bytes or write a hexadecimal string; compare, or change the image."""
        address, what, size = access
        if isinstance(what, int):
            got = await self.axi.read(address, what, size=size)
            wanted = bytes(self.image[address : address + what])
            assert int(got.resp) == answer, f"read of {address:#x}: {got.resp!r}"
            assert answer or got.data == wanted, f"read of {address:#x}: other data"
            return
        content = bytes.fromhex(what)
        done = await self.axi.write(address, content, size=size)
        assert int(done.resp) == answer, f"write to {address:#x}: {done.resp!r}"
        if not answer:
            self.image[address : address + len(content)] = content


@cocotb.test()
async def memory_model(dut: Any) -> None:
    """Run all phases."""
    give(**await Master(dut, arguments()).run())
