"""Bench of the doubler in ``doubler.py``: sends ``beats``, gives back what came out."""

import cocotb
from doubler import INPUT, OUTPUT

from vrex_sim import compare
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


@cocotb.test()
async def bench(dut):
    a = arguments()
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=500)
    source, sink = tb.source("i", INPUT), tb.sink("o", OUTPUT)
    tb.set(fault=a["fault"])
    await tb.reset()
    source.send_all({"value": v, "pair": [v & 3, 1], "last": v == 0} for v in a["beats"])
    beats = await sink.packet_at()
    for n, (beat, cycle) in enumerate(beats):
        if a["check"]:
            expected = a["beats"][n] * 2
            compare.equal(
                "doubler", "out", (n,), expected, beat["value"], cycle=cycle, origin=tb.origin
            )
    give(out=[beat for beat, _ in beats], cycles=tb.cycle)
    await tb.finish()
