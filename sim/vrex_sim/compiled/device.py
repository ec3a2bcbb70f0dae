"""A device whose emitted Verilog runs in a compiled C++ loop, in this process."""

import ctypes
import random
from collections.abc import Coroutine, Mapping
from typing import Any

import numpy as np

from vrex_sim import ports, waves
from vrex_sim.compiled.build import build
from vrex_sim.device import SETTLE, Device
from vrex_sim.ports import Bytes

ORIGIN = 2 * waves.PERIOD
"""When cycle 0 begins in a waveform of the same run, which cocotb makes (ns)."""
_NEVER = (1 << 64) - 1
_WORD = ctypes.c_uint64
_API = {
    "vrex_new": ([], ctypes.c_void_p),
    "vrex_delete": ([ctypes.c_void_p], None),
    "vrex_reset": ([ctypes.c_void_p], None),
    "vrex_stream": (
        [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64, ctypes.c_double, ctypes.c_char_p],
        None,
    ),
    "vrex_send": ([ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, _WORD], None),
    "vrex_run": (
        [ctypes.c_void_p, ctypes.c_void_p, _WORD, _WORD, ctypes.c_void_p, ctypes.c_void_p],
        ctypes.c_uint32,
    ),
    "vrex_take": ([ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p], None),
    "vrex_set": ([ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p], None),
    "vrex_get": ([ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p], None),
}
_REACHED, _ENDED, _STUCK, _CHANGED, _FELL = range(5)


class CompiledDevice(Device):
    """Module ``top`` of ``verilog``, built on first use, fresh from its reset.

    ``idle`` and ``stall`` are the chances, a cycle, that an input pauses and an output is held
    up, the same for every stream or by the stream's name. The same ``seed`` gives the same
    cycles here and under cocotb.

    Raises UserError and BuildError as :func:`vrex_sim.compiled.build.build` does.
    """

    def __init__(
        self,
        verilog: str,
        top: str,
        *,
        seed: int = 1,
        idle: float | Mapping[str, float] = 0.0,
        stall: float | Mapping[str, float] = 0.0,
        patience: int = 20_000,
    ) -> None:
        """Load the model and reset it."""
        streams, plain = ports.group(ports.read(verilog, top))
        super().__init__(streams, patience)
        self._library = ctypes.CDLL(str(build(verilog, top)))
        for name, (arguments, result) in _API.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, result
        self._index = {stream.name: index for index, stream in enumerate(streams)}
        self._plain = {port.name: (index, port) for index, port in enumerate(plain)}
        self._model = self._library.vrex_new()
        for name, index in self._index.items():
            chance = idle if name in self.inputs else stall
            pause = chance.get(name, 0.0) if isinstance(chance, Mapping) else chance
            stream = streams[index]
            state = random.Random(f"{seed} {stream.handle}").getstate()[1]
            text = " ".join(map(str, state)).encode()
            self._library.vrex_stream(self._model, index, stream.last_bit, pause, text)

    def __del__(self) -> None:
        """Free the model."""
        if getattr(self, "_model", None):
            self._library.vrex_delete(self._model)

    def reset(self) -> None:
        """Reset the device in whatever it does; what it was sent and gave is forgotten."""
        self._library.vrex_reset(self._model)
        self.forget()

    def set(self, name: str, value: int) -> None:
        """Write a plain input port."""
        index, port = self._plain[name]
        self._library.vrex_set(self._model, index, value.to_bytes(port.bytes, "little"))

    def get(self, name: str) -> int:
        """Read a plain port."""
        index, port = self._plain[name]
        value = ctypes.create_string_buffer(port.bytes)
        self._library.vrex_get(self._model, index, value)
        return int.from_bytes(value.raw, "little")

    def run(self, coroutine: Coroutine[Any, None, Any]) -> Any:
        """Run a host until its ``coroutine`` ends; return its result.

        Raises what the host raises, and :class:`~vrex_sim.device.DeviceError`.
        """
        main = self.start(coroutine)
        self.tasks.run()
        while not main.done:
            self.cycles()
            self.tasks.run()
        self.cycles(SETTLE)
        self.check_empty()
        return main.result

    def cycles(self, count: int = 1 << 62) -> None:
        """Run ``count`` cycles, or until something that is awaited has come.

        Raises :class:`~vrex_sim.device.DeviceError`.
        """
        targets = np.zeros(len(self._index), np.uint64)
        for name, index in self._index.items():
            due = (self.inputs.get(name) or self.outputs[name]).due
            targets[index] = _NEVER if due is None else due
        taken, where = np.zeros(len(targets), np.uint64), np.zeros(2, np.uint64)
        outcome = self._library.vrex_run(
            self._model, targets.ctypes, count, self.patience, taken.ctypes, where.ctypes
        )
        self.cycle = int(where[0])
        self._collect(taken)
        if outcome == _STUCK:
            raise self.stuck()
        if outcome in (_CHANGED, _FELL):
            what = "the payload changed" if outcome == _CHANGED else "valid fell"
            culprit = next(n for n, i in self._index.items() if i == where[1])
            raise self.fault(f"{what} before the beat was taken", culprit)

    def _send(self, name: str, beats: Bytes) -> None:
        self._library.vrex_send(self._model, self._index[name], beats.ctypes, beats.size)

    def _collect(self, taken: Any) -> None:
        """Note what inputs sent, and fetch what outputs gave."""
        for name, index in self._index.items():
            count = int(taken[index])
            if name in self.inputs:
                self.inputs[name].taken = count
            elif count:
                port = self.outputs[name]
                beats = np.empty((count, port.stream.bytes), np.uint8)
                cycles = np.empty(count, np.int64)
                self._library.vrex_take(self._model, index, beats.ctypes, cycles.ctypes)
                port.put(beats, cycles)
