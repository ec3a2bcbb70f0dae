"""Many copies of a free-running unit side by side: arithmetic on arrays, by the emitted Verilog.

About 100,000 results a second for a small unit.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.hierarchy import convert, place
from vrex_sim import runner

LANES = 32


class Lanes(wiring.Component):
    """:data:`LANES` units; ``i`` holds their 32-bit inputs, lane by lane, ``o`` the outputs."""

    def __init__(
        self, make: Callable[[], Any], inputs: tuple[str, ...], output: str, bits: int
    ) -> None:
        """``make`` returns a unit; the names are those of its ports, ``bits`` the output's."""
        self._make, self._inputs, self._output = make, inputs, output
        super().__init__({"i": In(32 * len(inputs) * LANES), "o": Out(bits * LANES)})

    def elaborate(self, platform: Any) -> Module:
        """Place the units."""
        m = Module()
        outputs = []
        for lane in range(LANES):
            unit = place(m, platform, f"lane{lane}", "unit", self._make)
            for k, name in enumerate(self._inputs):
                place_of = lane * len(self._inputs) + k
                m.d.comb += getattr(unit, name).eq(self.i.word_select(place_of, 32))
            outputs.append(getattr(unit, self._output))
        m.d.comb += self.o.eq(Cat(outputs))
        return m


@functools.cache
def _emit(make: Callable[[], Any], inputs: tuple[str, ...], output: str, bits: int) -> str:
    return convert(Lanes(make, inputs, output, bits), "lanes")


def compute(
    make: Callable[[], Any], latency: int, output: str, *, bits: int = 32, **inputs: np.ndarray
) -> np.ndarray:
    """Return what the units that ``make`` returns answer to arrays of inputs, uint32 [n].

    ``inputs``: for each input port an array [n] of 32-bit items; ``output``: the output port, of
    ``bits`` bits (8, 16 or 32), ``latency`` cycles after the inputs. A beat enters every cycle.
    """
    columns = np.stack([values.view(np.uint32) for values in inputs.values()], axis=-1)
    count = len(columns)
    beats = -(-count // LANES)
    padded = np.zeros((beats * LANES, len(inputs)), np.uint32)
    padded[:count] = columns
    given = {"i": padded.reshape(beats, -1).view(np.uint8), "latency": latency}
    text = _emit(make, tuple(inputs), output, bits)
    result = runner.run(text, "lanes", "vrex_sim.benches.lanes", given)["o"]
    return result.reshape(-1).view(f"<u{bits // 8}")[:count].astype(np.uint32)
