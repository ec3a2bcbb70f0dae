"""Bench of a unit without streams: its inputs of every cycle, its output a cycle later.

Arguments: ``inputs``, the names of the ports and a list of their values for each cycle; ``output``,
the port that is read after each rising edge. Gives back ``out``.
"""

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


@cocotb.test()
async def plain(dut: Any) -> None:
    """Drive and read, cycle by cycle."""
    a = arguments()
    names, rows = a["inputs"]
    tb = Bench(dut, patience=len(rows) + 100)
    await tb.reset()
    out = []
    for row in rows:
        await FallingEdge(dut.clk)
        tb.set(**dict(zip(names, row, strict=True)))
        await RisingEdge(dut.clk)
        await ReadOnly()
        out.append(tb.get(a["output"]))
    give(out=out)
