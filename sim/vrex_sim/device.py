"""What a host sees of a device: streams of beats, and nothing of what simulates it.

:class:`vrex_sim.compiled.CompiledDevice` runs emitted Verilog in a C++ loop,
:class:`vrex_sim.cocotb_device.CocotbDevice` under cocotb. A host is coroutines
(:mod:`vrex_sim.tasks`) that send beats and await packets; beats are rows of bytes
(:class:`vrex_sim.ports.Stream` says which).
"""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex import HardwareError
from vrex_sim.ports import Bytes, Stream
from vrex_sim.tasks import Task, Tasks, until

SETTLE = 20
"""Cycles after a host's end in which nothing more may come."""


class DeviceError(HardwareError):
    """A device broke a stream's protocol, or nothing moves any more."""


class Input:
    """A stream into the device."""

    def __init__(self, stream: Stream) -> None:
        """Made by a :class:`Device`."""
        self.stream = stream
        self.sent = 0
        """Beats sent so far, those that wait in the queue included."""
        self.taken = 0
        """Beats that the device has taken."""
        self.awaited = 0
        """Beats whose taking a task awaits."""

    @property
    def due(self) -> int | None:
        """``awaited``, if it has not come."""
        return self.awaited if self.awaited > self.taken else None


class Output:
    """A stream out of the device: everything it gave, and how much of it was read."""

    def __init__(self, stream: Stream) -> None:
        """Made by a :class:`Device`."""
        self.stream = stream
        self.awaited = 0
        """Packets whose end a task awaits."""
        self._beats, self._cycles = bytearray(), bytearray()
        self._ends = [0]
        self._read = 0

    @property
    def packets(self) -> int:
        """Packets that have ended."""
        return len(self._ends) - 1

    @property
    def due(self) -> int | None:
        """``awaited``, if it has not come."""
        return self.awaited if self.awaited > self.packets else None

    @property
    def pending(self) -> int:
        """Packets that nobody has read."""
        return self.packets - self._read

    def put(self, beats: Bytes, cycles: NDArray[np.int64]) -> None:
        """Keep what the device gave."""
        at, last = len(self._cycles) // 8, self.stream.last_bit
        ends = list(range(len(beats)))
        if last >= 0:
            ends = np.flatnonzero(beats[:, last // 8] >> last % 8 & 1).tolist()
        self._ends += [at + end + 1 for end in ends]
        self._beats += beats.tobytes()
        self._cycles += cycles.tobytes()

    def next(self, count: int) -> Bytes:
        """Read the oldest ``count`` packets that were not read yet, [n, bytes]."""
        start = self._ends[self._read]
        self._read += count
        return self._slice(start, self._ends[self._read])[0]

    def results(self, name: str) -> dict[str, NDArray[Any]]:
        """Return all that came, read or not, as :meth:`vrex_sim.rows.Beats.of` reads it."""
        self._read = self.packets
        beats, cycles = self._slice(0, len(self._cycles) // 8)
        return {name: beats, f"{name}_cycle": cycles}

    def _slice(self, start: int, end: int) -> tuple[Bytes, NDArray[np.int64]]:
        size = self.stream.bytes
        beats = np.frombuffer(bytes(self._beats[start * size : end * size]), np.uint8)
        cycles = np.frombuffer(bytes(self._cycles[8 * start : 8 * end]), np.int64)
        return beats.reshape(-1, size), cycles


class Device(ABC):
    """Streams by name, and the tasks of the host that uses them.

    A host runs by ``run(coroutine)``, until the coroutine ends; then every stream must be empty.
    A run in which no beat moves for ``patience`` cycles while a task waits ends with
    :class:`DeviceError`, which names what is pending.
    """

    def __init__(self, streams: list[Stream], patience: int) -> None:
        """Make the ends of ``streams``."""
        self.inputs = {s.name: Input(s) for s in streams if s.input}
        self.outputs = {s.name: Output(s) for s in streams if not s.input}
        self.patience = patience
        self.cycle = 0
        """Rising edges since reset ended."""
        self.tasks = Tasks()

    def forget(self) -> None:
        """Begin anew, as the device does from a reset: nothing was sent or given, no task runs."""
        self.inputs = {name: Input(port.stream) for name, port in self.inputs.items()}
        self.outputs = {name: Output(port.stream) for name, port in self.outputs.items()}
        self.tasks = Tasks()

    def start(self, coroutine: Coroutine[Any, None, Any]) -> Task:
        """Let ``coroutine`` run beside the others."""
        return self.tasks.start(coroutine)

    def send(self, name: str, beats: Bytes) -> None:
        """Queue ``beats`` [n, bytes] for the input ``name``."""
        port = self.inputs[name]
        beats = port.stream.check(beats)
        port.sent += len(beats)
        self._send(name, beats)

    async def packet(self, name: str) -> Bytes:
        """Wait for the next packet of the output ``name``, [n, bytes]; without TLAST: one beat."""
        return await self.packets(name, 1)

    async def packets(self, name: str, count: int) -> Bytes:
        """Wait for ``count`` packets of the output ``name``; return their beats, [n, bytes]."""
        port = self.outputs[name]
        if port.pending < count:
            port.awaited = port.packets - port.pending + count
            await until(lambda: port.pending >= count)
        return port.next(count)

    async def drained(self, name: str, left: int = 0) -> None:
        """Wait until no more than ``left`` beats of the input ``name`` are still to be taken."""
        port = self.inputs[name]
        wanted = port.sent - left
        if port.taken < wanted:
            port.awaited = wanted
            await until(lambda: port.taken >= wanted)

    @abstractmethod
    def set(self, name: str, value: int) -> None:
        """Write a plain input port."""

    @abstractmethod
    def _send(self, name: str, beats: Bytes) -> None:
        """Put beats into the queue."""

    def fault(self, what: str, name: str = "") -> DeviceError:
        """Return the error that says ``what`` is wrong, in which cycle and of which stream."""
        stream = f"stream {name}, " if name else ""
        return DeviceError(f"{stream}cycle {self.cycle}: {what}")

    def stuck(self) -> DeviceError:
        """Return the error that nothing moves, with what is pending."""
        return self.fault(
            f"no stream moved for {self.patience} cycles; pending: {self.left() or 'nothing'}"
        )

    def check_empty(self) -> None:
        """Raise :class:`DeviceError` if something was sent and not taken, or given and not read."""
        if self.left():
            raise self.fault(f"beats are left over: {self.left()}")

    def left(self) -> str:
        """Return what was sent and not taken, or given and not read."""
        pending = {name: port.sent - port.taken for name, port in self.inputs.items()}
        pending |= {name: port.pending for name, port in self.outputs.items()}
        return ", ".join(f"{name} {count}" for name, count in pending.items() if count)
