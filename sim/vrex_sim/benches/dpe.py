"""Bench of the DPE's free-running pipelines: a beat every cycle, a result every cycle.

Arguments: ``inputs``, by port the values cycle after cycle, packed, as hexadecimal text;
``outputs``, names of ports. Gives, for each, its values at every edge from the first beat's on,
as hexadecimal text.
"""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from vrex_sim.exchange import arguments, give


@cocotb.test()
async def bench(dut):
    """Drive a value a cycle into every port and keep what comes out."""
    given = arguments()
    ports = {name: [int(v, 16) for v in values] for name, values in given["inputs"].items()}
    seen = {name: [] for name in given["outputs"]}
    dut.rst.value = 0
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    await RisingEdge(dut.clk)
    for values in zip(*ports.values(), strict=True):
        for name, value in zip(ports, values, strict=True):
            getattr(dut, name).value = value
        await RisingEdge(dut.clk)
        for name, found in seen.items():
            found.append(f"{int(getattr(dut, name).value):x}")
    give(**seen)
