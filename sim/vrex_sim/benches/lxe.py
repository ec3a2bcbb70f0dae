"""Bench of the LXE: commands and their beats in, everything that comes out given back.

Arguments: ``config``, the fields of a :class:`~vrex_hw.config.Config`; ``commands``, a list of
the command stream's fields; ``activation`` and ``matrix``, beats as bytes [N, bytes]; ``expected``,
how many beats come out of each stream; ``seed``, ``idle`` and ``stall``. Given back: each output
stream's beats as bytes, the cycle of each, and the sticky flags.
"""

from typing import Any

import cocotb
import numpy as np

from vrex_hw.config import from_dict
from vrex_hw.lxe.layouts import Layouts
from vrex_hw.wtu.layouts import Layouts as RowLayouts
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give


class Recorder:
    """Keeps a sink's beats as bytes, each with its cycle."""

    def __init__(self, sink: Sink) -> None:
        """Take the place of the sink's own keeping."""
        self._bytes = -(-sink.packer.width // 8)
        self._beats, self._cycles = bytearray(), list[int]()
        sink.on_beat = self._take

    def _take(self, packed: int, cycle: int) -> None:
        self._beats += packed.to_bytes(self._bytes, "little")
        self._cycles.append(cycle)

    def __len__(self) -> int:
        """Beats so far."""
        return len(self._cycles)

    def results(self, name: str) -> dict[str, Any]:
        """Return the beats [N, bytes] and their cycles [N]."""
        beats = np.frombuffer(bytes(self._beats), dtype=np.uint8).reshape(-1, self._bytes)
        return {name: beats, f"{name}_cycle": np.array(self._cycles, dtype=np.int64)}


@cocotb.test()
async def run(dut: Any) -> None:
    """Send all that there is and wait for all that must come."""
    a = arguments()
    config = from_dict(a["config"])
    layouts = Layouts(config)
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=5_000)
    shapes = {
        "hash": layouts.hash,
        "weights": RowLayouts(config.wtu).row,
        "attention": layouts.attention,
        "report": layouts.report,
    }
    sinks = {name: Recorder(tb.sink(name, shape)) for name, shape in shapes.items()}
    command = tb.source("command", layouts.command)
    for name in ("activation", "matrix"):
        source = tb.source(name, getattr(layouts, name))
        source.send_packed(int.from_bytes(beat.tobytes(), "little") for beat in a[name])
    command.send_all(a["commands"])
    tb.set(clear=0, mean_job__valid=0, mean_key__valid=0, mean__ready=0)
    await tb.reset()
    while any(len(sink) < a["expected"][name] for name, sink in sinks.items()):
        await tb.cycles(10)
    cycles = tb.cycle
    await tb.finish(100)
    results: dict[str, Any] = {"nonfinite": tb.get("nonfinite"), "cycles": cycles}
    for name, sink in sinks.items():
        results |= sink.results(name)
    give(**results)
