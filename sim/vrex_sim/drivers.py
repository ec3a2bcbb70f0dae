"""Drivers and monitors of valid/ready streams for cocotb, with random idling and back-pressure.

One coroutine serves every stream of a :class:`Bench`: at each rising edge it reads the values
before the edge and writes what holds after it. All randomness comes from the bench's seed.
"""

import os
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import cocotb
from amaranth.lib import data
from cocotb.clock import Clock
from cocotb.triggers import Event, RisingEdge
from cocotb.utils import get_sim_time

from vrex_sim import compare, waves
from vrex_sim.packer import Packer


class Wires:
    """The ports of one stream: valid, ready, and a payload in one port or in one for each field.

    A stream of Amaranth has ``NAME__payload``, ``NAME__valid`` and ``NAME__ready``. With
    ``split`` the ports are called ``NAME`` and the field of ``shape``, ``NAMEvalid`` and
    ``NAMEready``, as AXI has it: ``s_axis_row_t`` with fields ``data`` and ``last``.
    """

    def __init__(self, dut: Any, name: str, shape: Any, split: bool) -> None:
        """Look the ports up in ``dut``."""
        joint = name if split else f"{name}__"
        self.valid = getattr(dut, f"{joint}valid")
        self.ready = getattr(dut, f"{joint}ready")
        self._parts: list[tuple[Any, int, int]] = []
        if split:
            for field, place in data.Layout.cast(shape):
                mask = (1 << place.width) - 1
                self._parts.append((getattr(dut, f"{joint}{field}"), place.offset, mask))
        else:
            self._whole = getattr(dut, f"{joint}payload")
        self._last: list[int | None] = [None] * len(self._parts)

    def write(self, packed: int) -> None:
        """Drive the payload; parts that stay as they are cost nothing."""
        if not self._parts:
            self._whole.value = packed
            return
        for index, (port, offset, mask) in enumerate(self._parts):
            value = packed >> offset & mask
            if value != self._last[index]:
                port.value = self._last[index] = value

    def read(self) -> int:
        """Return the payload, packed."""
        if not self._parts:
            return int(self._whole.value)
        return sum(int(port.value) << offset for port, offset, _ in self._parts)


class Source:
    """Sends beats into a stream of the device; idles with probability ``idle`` a cycle."""

    def __init__(self, bench: "Bench", name: str, shape: Any, idle: float, split: bool) -> None:
        """Made by :meth:`Bench.source`."""
        self.name, self.idle = name, idle
        self.packer = Packer(shape)
        self.on_beat: Callable[[int, int], None] | None = None
        """Called with the packed beat and the cycle in which the device took it."""
        self._bench = bench
        self._queue: deque[int] = deque()
        self._driving = False
        self._wires = Wires(bench.dut, name, shape, split)
        self._valid, self._ready = self._wires.valid, self._wires.ready
        self.handshake = self._valid
        self._random = random.Random(f"{bench.seed} {name}")
        self._empty = Event()

    def send(self, beat: Any) -> None:
        """Queue one beat: a value of the stream's shape."""
        self.send_packed([self.packer.pack(beat)])

    def send_all(self, beats: Iterable[Any]) -> None:
        """Queue several beats."""
        self.send_packed(map(self.packer.pack, beats))

    def send_packed(self, beats: Iterable[int]) -> None:
        """Queue beats that are packed already."""
        self._queue.extend(beats)
        self._empty.clear()

    @property
    def pending(self) -> int:
        """Beats that the device has not taken yet."""
        return len(self._queue)

    async def drained(self) -> None:
        """Wait until the device has taken every beat."""
        while self._queue:
            await self._empty.wait()

    def clear(self) -> None:
        """Drop every beat, the one on the wires too; only while the device is in reset."""
        self._queue.clear()
        self._driving = False
        self._valid.value = 0
        self._empty.set()

    def step(self) -> bool:
        """Serve one rising edge; True if a beat moved."""
        moved = self._driving and self._ready.value == 1
        if moved:
            beat = self._queue.popleft()
            self._driving = False
            if self.on_beat is not None:
                self.on_beat(beat, self._bench.cycle)
            if not self._queue:
                self._empty.set()
        if not self._driving:
            if self._queue and not (self.idle and self._random.random() < self.idle):
                self._wires.write(self._queue[0])
                self._valid.value = 1
                self._driving = True
            elif moved:
                self._valid.value = 0
        return moved


class Sink:
    """Takes beats from a stream of the device; holds it up with probability ``stall`` a cycle.

    Checks the protocol: once valid, a beat stays valid and unchanged until it is taken.
    """

    def __init__(self, bench: "Bench", name: str, shape: Any, stall: float, split: bool) -> None:
        """Made by :meth:`Bench.sink`."""
        self.name, self.stall = name, stall
        self.packer = Packer(shape)
        self.on_beat: Callable[[int, int], None] | None = None
        """Called with the packed beat and its cycle, instead of keeping the beat."""
        self._bench = bench
        self._beats: deque[tuple[int, int]] = deque()
        self._wires = Wires(bench.dut, name, shape, split)
        self._valid, self._ready = self._wires.valid, self._wires.ready
        self.handshake = self._ready
        self._taking = False
        self._held: int | None = None
        self._random = random.Random(f"{bench.seed} {name}")
        self._arrived = Event()

    async def beat_at(self) -> tuple[Any, int]:
        """Wait for the next beat; return its value and the cycle in which it was taken."""
        while not self._beats:
            self._arrived.clear()
            await self._arrived.wait()
        packed, cycle = self._beats.popleft()
        return self.packer.unpack(packed), cycle

    async def beat(self) -> Any:
        """Wait for the next beat."""
        return (await self.beat_at())[0]

    async def packet(self) -> list[Any]:
        """Wait for beats up to the one whose field ``last`` is 1, that one included."""
        return [beat for beat, _ in await self.packet_at()]

    async def packet_at(self) -> list[tuple[Any, int]]:
        """Like :meth:`packet`, each beat with its cycle."""
        beats = [await self.beat_at()]
        while not beats[-1][0]["last"]:
            beats.append(await self.beat_at())
        return beats

    @property
    def pending(self) -> int:
        """Beats that were taken from the device and not yet asked for."""
        return len(self._beats)

    def clear(self) -> None:
        """Drop every beat that nobody has asked for; only while the device is in reset."""
        self._beats.clear()
        self._held = None
        self._taking = False
        self._ready.value = 0

    def step(self) -> bool:
        """Serve one rising edge; True if a beat moved."""
        moved = False
        if self._valid.value == 1:
            packed = self._wires.read()
            if self._held is not None and packed != self._held:
                self._fault(f"the payload changed from {self._held:#x} to {packed:#x}")
            self._held = None if self._taking else packed
            moved = self._taking
            if moved and self.on_beat is not None:
                self.on_beat(packed, self._bench.cycle)
            elif moved:
                self._beats.append((packed, self._bench.cycle))
                self._arrived.set()
        elif self._held is not None:
            self._fault("valid fell")
        take = not (self.stall and self._random.random() < self.stall)
        if take != self._taking:
            self._ready.value = self._taking = take
        return moved

    def _fault(self, what: str) -> None:
        compare.remember(self._bench.cycle, self._bench.origin)
        raise AssertionError(
            f"stream {self.name}, cycle {self._bench.cycle}: {what} before the beat was taken"
        )


class Bench:
    """Clock, reset and streams of one device under test.

    ``idle`` and ``stall`` are the probabilities, a cycle, that a source waits and that a sink
    does; each stream may have its own. A run in which no beat moves for ``patience`` cycles while
    a source still has something to send, or someone waits, fails and names what is pending.
    """

    def __init__(
        self,
        dut: Any,
        *,
        seed: int = 1,
        idle: float = 0.0,
        stall: float = 0.0,
        patience: int = 20_000,
    ) -> None:
        """``dut`` is cocotb's handle of the top module; its clock is ``clk``, its reset ``rst``."""
        self.dut, self.seed = dut, seed
        self.cycle = 0
        """Rising edges since reset ended."""
        self.origin = 0
        """Simulation time of cycle 0 in ns."""
        self.patience = patience
        self._idle, self._stall = idle, stall
        self._ports: list[Source | Sink] = []
        self._moved = 0
        self._restarted = Event()
        self._stop_at = int(os.environ.get(waves.STOP_AT, -1))

    def source(
        self, name: str, shape: Any, *, idle: float | None = None, split: bool = False
    ) -> Source:
        """Drive the input stream ``name`` whose payload has ``shape`` (:class:`Wires`)."""
        port = Source(self, name, shape, self._idle if idle is None else idle, split)
        self._ports.append(port)
        return port

    def sink(
        self, name: str, shape: Any, *, stall: float | None = None, split: bool = False
    ) -> Sink:
        """Take the output stream ``name`` whose payload has ``shape`` (:class:`Wires`)."""
        port = Sink(self, name, shape, self._stall if stall is None else stall, split)
        self._ports.append(port)
        return port

    def set(self, **values: int) -> None:
        """Write plain input ports."""
        for name, value in values.items():
            getattr(self.dut, name).value = value

    def get(self, name: str) -> int:
        """Read a plain port."""
        return int(getattr(self.dut, name).value)

    async def reset(self, cycles: int = 2) -> None:
        """Start the clock, reset the device and start every stream made so far."""
        for port in self._ports:
            port.handshake.value = 0
        self.dut.rst.value = 1
        Clock(self.dut.clk, waves.PERIOD, unit="ns").start()
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.origin = int(get_sim_time("ns")) + waves.PERIOD
        cocotb.start_soon(self._serve())

    async def restart(self) -> None:
        """Reset the device for one cycle, whatever it does, and drop what streams still hold.

        A beat that comes out afterwards is one of the new run, or the device's fault.
        """
        self._restarted.clear()
        self.dut.rst.value = 1
        await self._restarted.wait()

    async def cycles(self, count: int) -> None:
        """Wait ``count`` rising edges."""
        for _ in range(count):
            await RisingEdge(self.dut.clk)

    async def finish(self, cycles: int = 20) -> None:
        """Wait a little, then fail unless every source and every sink is empty."""
        await self.cycles(cycles)
        left = self._pending()
        if left:
            raise AssertionError(f"cycle {self.cycle}: beats are left over: {left}")

    async def _serve(self) -> None:
        edge, rst = RisingEdge(self.dut.clk), self.dut.rst
        steps = [port.step for port in self._ports]
        while True:
            await edge
            if rst.value == 1:
                rst.value = 0
                self._moved = self.cycle
                for port in self._ports:
                    port.clear()
                self._restarted.set()
            else:
                for step in steps:
                    if step():
                        self._moved = self.cycle
            self.cycle += 1
            if self.cycle == self._stop_at:
                raise AssertionError("stopped for the waveform")
            if self.cycle - self._moved > self.patience:
                compare.remember(self.cycle, self.origin)
                raise AssertionError(
                    f"cycle {self.cycle}: no stream moved for {self.patience} cycles; "
                    f"pending: {self._pending() or 'nothing'}"
                )

    def _pending(self) -> str:
        return ", ".join(f"{p.name} {p.pending}" for p in self._ports if p.pending)
