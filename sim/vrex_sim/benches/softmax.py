"""Bench of the softmax: rows of scores in, results out, with pauses between the rows.

Arguments: ``config`` (the name), ``rows`` (one packed row for each beat, uint8 [n, bytes]),
``starts`` (the cycle of each row) and ``latency``. Gives back ``results``, uint8 [n, bytes], the
packed result of each row in its cycle, and ``strays``, how many valid results came besides.
"""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from vrex_sim.exchange import arguments, give


@cocotb.test()
async def bench(dut: Any) -> None:
    """Drive ``i`` in every cycle; read ``o`` where a result is due and watch ``valid``."""
    a = arguments()
    rows = [int.from_bytes(row.tobytes(), "little") for row in a["rows"]]
    given = dict(zip(a["starts"].tolist(), rows, strict=True))
    due = {start + a["latency"] for start in given}
    Clock(dut.clk, 10, unit="ns").start()
    dut.i.value, dut.rst.value = 0, 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    size = -(-len(dut.o) // 8)
    results, strays = [], 0
    for cycle in range(-1, max(due) + 10):
        await RisingEdge(dut.clk)
        result = int(dut.o.value)
        if cycle in due:
            results.append(result.to_bytes(size, "little"))
        else:
            strays += result & 1
        # What is written after an edge is an input of the cycle that the next one ends.
        dut.i.value = given.get(cycle + 1, 0)
    give(results=np.frombuffer(b"".join(results), np.uint8).reshape(-1, size), strays=strays)
