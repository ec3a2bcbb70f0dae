"""A device that cocotb simulates, for a host that runs as well on the compiled one."""

from collections.abc import Coroutine
from typing import Any

import numpy as np
from amaranth.lib import data
from cocotb.triggers import Event

from vrex_sim import ports
from vrex_sim.device import SETTLE, Device, Input, Output
from vrex_sim.drivers import Bench, Sink, Source
from vrex_sim.ports import Bytes, Port, Stream


class CocotbDevice(Device):
    """The device under test ``dut`` with the ports ``found`` (:func:`vrex_sim.ports.read`).

    ``idle``, ``stall``, ``seed`` and ``patience`` are those of :class:`~vrex_sim.drivers.Bench`.
    """

    def __init__(
        self,
        dut: Any,
        found: list[Port],
        *,
        seed: int = 1,
        idle: float = 0.0,
        stall: float = 0.0,
        patience: int = 20_000,
    ) -> None:
        """Attach to every stream."""
        streams, _ = ports.group(found)
        self.bench = Bench(dut, seed=seed, idle=idle, stall=stall, patience=patience)
        super().__init__(streams, self.bench.patience)
        self._started = False
        self._came = Event()
        self._sources = {s.name: self._source(s) for s in streams if s.input}
        for stream in streams:
            if not stream.input:
                self._sink(stream)

    async def run(self, coroutine: Coroutine[Any, None, Any]) -> Any:
        """Reset the device, then run a host until its ``coroutine`` ends; return its result.

        Raises what the host raises.
        """
        await self._reset()
        main = self.start(coroutine)
        self.tasks.run()
        while not main.done:
            self._came.clear()
            await self._came.wait()
            self.cycle = self.bench.cycle
            self.tasks.run()
        await self.bench.cycles(SETTLE)
        self.cycle = self.bench.cycle
        self.check_empty()
        return main.result

    def set(self, name: str, value: int) -> None:
        """Write a plain input port."""
        self.bench.set(**{name: value})

    async def run_for(self, cycles: int, coroutine: Coroutine[Any, None, Any]) -> None:
        """Reset the device, start a host and leave it after ``cycles`` cycles, in mid-work.

        Its tasks are not resumed meanwhile. Whatever runs next begins with a reset.
        """
        await self._reset()
        self.start(coroutine)
        self.tasks.run()
        await self.bench.cycles(cycles)

    async def _reset(self) -> None:
        """Start the clock the first time; drop all that a run before has left."""
        if self._started:
            await self.bench.restart()
            self.forget()
        else:
            self._started = True
            await self.bench.reset()

    def _send(self, name: str, beats: Bytes) -> None:
        source = self._sources[name]
        source.send_packed(int.from_bytes(beat.tobytes(), "little") for beat in beats)

    def _source(self, stream: Stream) -> Source:
        source = self.bench.source(**_shape(stream))
        source.on_beat = lambda _, __: self._taken(self.inputs[stream.name])
        return source

    def _sink(self, stream: Stream) -> Sink:
        size = stream.bytes
        sink = self.bench.sink(**_shape(stream))
        sink.on_beat = lambda packed, cycle: self._given(
            self.outputs[stream.name], packed.to_bytes(size, "little"), cycle
        )
        return sink

    def _taken(self, port: Input) -> None:
        port.taken += 1
        if port.taken == port.awaited:
            self._came.set()

    def _given(self, port: Output, beat: bytes, cycle: int) -> None:
        port.put(np.frombuffer(beat, np.uint8)[None], np.array([cycle], np.int64))
        if port.packets == port.awaited:
            self._came.set()


def _shape(stream: Stream) -> dict[str, Any]:
    """Return ``stream`` as the drivers know it: name, and its bytes, port by port, as the shape."""
    if [port.name for port in stream.payload] == [f"{stream.prefix}payload"]:
        return {"name": stream.handle, "shape": 8 * stream.bytes}
    fields, at = {}, 0
    for port in stream.payload:
        name = port.name.removeprefix(stream.prefix)
        fields[name] = data.Field(8 * port.bytes, at)
        at += 8 * port.bytes
    return {"name": stream.handle, "shape": data.FlexibleLayout(at, fields), "split": True}
