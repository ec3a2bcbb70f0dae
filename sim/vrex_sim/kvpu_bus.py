"""The KVPU as a cocotb bench sees it: registers by name, streams by their layouts.

It stands on cocotbext-axi and on the register map and layouts that the RTL is made from.
"""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from vrex_hw.config import Config
from vrex_hw.kvpu.layouts import ENTRY_BYTES, RESULT, stream_layouts
from vrex_hw.registers import KVPU
from vrex_hw.registers.kvpu import SINKS, SOURCES
from vrex_sim import waves
from vrex_sim.drivers import Bench, Packer

Entry = tuple[int, int] | None
"""Weight and count of one cluster of a row; None where the row has a hole."""


class Kvpu:
    """Clock, reset, registers and streams of one KVPU.

    ``idle`` and ``stall`` are the probabilities, a cycle, that a source waits and that a sink
    does. A bench that runs for ``patience`` cycles fails.
    """

    def __init__(
        self,
        dut: Any,
        config: Config,
        *,
        seed: int,
        idle: float = 0.0,
        stall: float = 0.0,
        patience: int = 100_000,
    ) -> None:
        """``dut`` is cocotb's handle of the emitted top, ``config`` what it was emitted for."""
        self.tb = Bench(dut, seed=seed, patience=patience)
        self.config = config
        self._pauses = 0
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        write, read = self.lite.write_if, self.lite.read_if
        for channel in (write.aw_channel, write.w_channel, read.ar_channel):
            self._pause(channel, idle)
        for channel in (write.b_channel, read.r_channel):
            self._pause(channel, stall)
        self.source = {name: self._stream(AxiStreamSource, name, idle) for name in SINKS}
        self.sink = {name: self._stream(AxiStreamSink, name, stall) for name in SOURCES}
        self._packers = {n: Packer(s) for n, s in stream_layouts(config).items()}
        self._trailer = Packer(RESULT)

    def _stream(self, kind: Any, name: str, pause: float) -> Any:
        dut = self.tb.dut
        whole = {} if hasattr(dut, f"{name}_tkeep") else {"byte_lanes": 1}
        stream = kind(AxiStreamBus.from_prefix(dut, name), dut.clk, dut.rst, **whole)
        self._pause(stream, pause)
        return stream

    def _pause(self, channel: Any, probability: float) -> None:
        """Hold ``channel`` up with ``probability`` a cycle, each on its own."""
        if probability:
            self._pauses += 1
            rng = random.Random(f"{self.tb.seed} {self._pauses}")
            channel.set_pause_generator(_coin(rng, probability))

    async def reset(self) -> None:
        """Start the clock and reset the device."""
        await self.tb.reset()

    async def restart(self) -> None:
        """Reset the device in whatever it does, and drop what any stream still held."""
        self.tb.dut.rst.value = 1
        await self.tb.cycles(2)
        for stream in (*self.source.values(), *self.sink.values()):
            stream.clear()
        self.tb.dut.rst.value = 0
        await self.tb.cycles(1)

    async def write(self, **registers: int) -> None:
        """Write registers by name, in order; raises AssertionError for an error response."""
        for name, value in registers.items():
            answer = await self.lite.write(KVPU.address[name], value.to_bytes(4, "little"))
            if answer.resp != AxiResp.OKAY:
                raise AssertionError(f"write of {name}: {answer.resp!r}")

    async def read(self, name: str) -> int:
        """Read a register by name; raises AssertionError for an error response."""
        answer = await self.lite.read(KVPU.address[name], 4)
        if answer.resp != AxiResp.OKAY:
            raise AssertionError(f"read of {name}: {answer.resp!r}")
        return int.from_bytes(answer.data, "little")

    async def status(self) -> set[str]:
        """Return the names of the status bits that are set."""
        value = await self.read("status")
        return {name for name, mask in KVPU.mask["status"].items() if value & mask}

    async def start(self, kind: str, registers: Mapping[str, int]) -> None:
        """Write ``registers``, wait until the queue of ``kind`` has room, and start a job.

        ``kind`` is ``cluster`` or ``select``.
        """
        await self.write(**registers)
        while f"{kind}_full" in await self.status():
            pass
        await self.write(command=KVPU.mask["command"][f"start_{kind}"])

    def send(self, name: str, beats: Iterable[Any]) -> None:
        """Queue beats for ``s_axis_table`` or ``s_axis_hash``: values of their layouts."""
        packed = [self._packers[name].pack(beat) for beat in beats]
        if packed:
            self.source[name].send_nowait(AxiStreamFrame(packed))

    def send_row(self, entries: Iterable[Entry]) -> None:
        """Queue one row; it has one entry at least, which may be a hole."""
        data, keep = bytearray(), []
        for entry in entries:
            weight, count = entry or (0xDEAD, 0xBEEF)
            data += weight.to_bytes(2, "little") + count.to_bytes(2, "little")
            keep += [int(entry is not None)] * ENTRY_BYTES
        self.source["s_axis_row"].send_nowait(AxiStreamFrame(data, tkeep=keep))

    async def packet(self, name: str) -> tuple[list[Any], dict[str, int], int]:
        """Take a packet: its beats before the trailer, the trailer, and the trailer's cycle."""
        frame = await self.sink[name].recv()
        *beats, trailer = frame.tdata
        cycle = (int(frame.sim_time_end) - self.tb.origin) // waves.PERIOD
        packer = self._packers[name]
        return [packer.unpack(b) for b in beats], self._trailer.unpack(trailer), cycle

    async def finish(self, cycles: int = 50) -> None:
        """Wait a little, then fail unless every stream is empty and nothing is busy."""
        await self.tb.cycles(cycles)
        left = [name for name, source in self.source.items() if not source.idle()]
        left += [name for name, sink in self.sink.items() if not sink.empty()]
        left += [name for name in await self.status() if name.endswith("_busy")]
        if left:
            raise AssertionError(f"cycle {self.tb.cycle}: not at rest: {', '.join(left)}")


def _coin(rng: random.Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability
