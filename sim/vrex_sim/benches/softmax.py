"""Bench of the softmax: rows of scores in, results out, with pauses between the rows.

Arguments: ``rows`` (one packed row for each beat, uint8 [n, bytes]), ``starts`` (the cycle of each
row) and ``latencies``, the cycles from a row to its ``o``, ``factor`` and ``inverse``. Gives back
for each of these the packed results of the rows in their cycles, uint8 [n, bytes], and ``strays``,
how many valid results came besides.
"""

from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from vrex_sim.exchange import arguments, give


@cocotb.test()
async def bench(dut: Any) -> None:
    """Drive ``i`` in every cycle; read where a result is due and watch ``valid``."""
    a = arguments()
    rows = [int.from_bytes(row.tobytes(), "little") for row in a["rows"]]
    given = dict(zip(a["starts"].tolist(), rows, strict=True))
    due = {name: {s + wait for s in given} for name, wait in a["latencies"].items()}
    Clock(dut.clk, 10, unit="ns").start()
    dut.i.value, dut.rst.value = 0, 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    results: dict[str, list[bytes]] = {name: [] for name in due}
    strays = 0
    for cycle in range(-1, max(map(max, due.values())) + 10):
        await RisingEdge(dut.clk)
        for name, cycles in due.items():
            port = getattr(dut, name)
            result = int(port.value)
            if cycle in cycles:
                results[name].append(result.to_bytes(-(-len(port) // 8), "little"))
            else:
                strays += result & 1
        # What is written after an edge is an input of the cycle that the next one ends.
        dut.i.value = given.get(cycle + 1, 0)
    packed = {
        n: np.frombuffer(b"".join(r), np.uint8).reshape(len(r), -1) for n, r in results.items()
    }
    give(strays=strays, **packed)
