"""Bench of :mod:`vrex_sim.lanes`: a beat of inputs every cycle, one of outputs later."""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from vrex_sim.exchange import arguments, give


@cocotb.test()
async def bench(dut: Any) -> None:
    """Drive ``i``, keep ``o``."""
    a = arguments()
    beats, latency = [int.from_bytes(beat.tobytes(), "little") for beat in a["i"]], a["latency"]
    Clock(dut.clk, 10, unit="ns").start()
    size = len(dut.o) // 8
    out = []
    dut.rst.value = 0
    # What is written after an edge is an input of the cycle that the next one ends.
    for cycle in range(len(beats) + latency + 1):
        await RisingEdge(dut.clk)
        if cycle > latency:
            out.append(int(dut.o.value).to_bytes(size, "little"))
        if cycle < len(beats):
            dut.i.value = beats[cycle]
    give(o=np.frombuffer(b"".join(out), np.uint8).reshape(len(beats), size))
