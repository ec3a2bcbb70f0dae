"""Many copies of a free-running unit side by side, for the compiled simulator."""

import functools
from pathlib import Path

import numpy as np
from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.hierarchy import convert, place
from vrex_sim import runner

BENCH = Path(__file__).with_name("lanes_bench.py")
LANES = 32


class Lanes(wiring.Component):
    """``LANES`` units; ``i`` holds their 32-bit inputs, lane by lane, ``o`` their outputs."""

    def __init__(self, make, inputs, output, bits):
        self._make, self._inputs, self._output, self._bits = make, inputs, output, bits
        super().__init__({"i": In(32 * len(inputs) * LANES), "o": Out(bits * LANES)})

    def elaborate(self, platform):
        m = Module()
        outputs, place_of = [], iter(range(LANES * len(self._inputs)))
        for lane in range(LANES):
            unit = place(m, platform, f"lane{lane}", "unit", self._make)
            for name in self._inputs:
                m.d.comb += getattr(unit, name).eq(self.i.word_select(next(place_of), 32))
            outputs.append(getattr(unit, self._output))
        m.d.comb += self.o.eq(Cat(outputs))
        return m


@functools.cache
def _emit(make, inputs, output, bits):
    return convert(Lanes(make, inputs, output, bits), "lanes")


def compute(make, latency, output, bits=32, **inputs):
    """Return what ``make()`` answers to the arrays of 32-bit numbers ``inputs``, as uint32."""
    columns = np.stack([np.asarray(v).view(np.uint32) for v in inputs.values()], axis=-1)
    count = len(columns)
    beats = -(-count // LANES)
    padded = np.zeros((beats * LANES, len(inputs)), np.uint32)
    padded[:count] = columns
    given = {"i": padded.reshape(beats, -1).view(np.uint8), "latency": latency}
    verilog = _emit(make, tuple(inputs), output, bits)
    result = runner.run(verilog, "lanes", BENCH, given)["o"]
    return result.reshape(-1).view(f"<u{bits // 8}")[:count].astype(np.uint32)
