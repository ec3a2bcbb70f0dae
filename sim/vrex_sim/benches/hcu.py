"""Bench of the HCU: sends sessions of packets and compares every assignment.

Arguments: ``config`` (fields of HCUConfig), ``seed`` and ``sessions``, a list of ``registers``
(written while the unit is idle) and ``packets`` as :mod:`vrex_sim.benches.hcu_traffic` makes
them. A session's ``idle`` and ``stall`` are those of a Bench, on every stream; its ``name`` tells
it in a mismatch; with ``reset`` it ends in a reset. Gives back the counters and the cycle in which
each packet's trailer came (``trailers``).
"""

import cocotb

from vrex_hw.config import HCUConfig
from vrex_hw.hcu import ASSIGNMENT, JOB, table_entry, token
from vrex_sim.compare import equal
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give

COUNTERS = ("busy", "stalled_in", "stalled_out", "compares")


async def check(tb: Bench, assign: Sink, name: str, packets: list[dict]) -> list[int]:
    """Compare all assignments of a session; return the cycle of each packet's last beat."""
    ends = []
    for p, packet in enumerate(packets):
        cycle = 0
        for i, expected in enumerate(packet["assign"]):
            got, cycle = await assign.beat_at()
            equal("hcu", name, (p, i), expected, got, cycle=cycle, origin=tb.origin)
        ends.append(cycle)
    return ends


@cocotb.test()
async def hcu(dut) -> None:
    """Run all sessions, one after another."""
    given = arguments()
    config = HCUConfig(**given["config"])
    tb = Bench(dut, seed=given["seed"])
    job = tb.source("job", JOB)
    table = tb.source("table", table_entry(config))
    tokens = tb.source("hash", token(config))
    assign = tb.sink("assign", ASSIGNMENT)
    tb.set(**given["sessions"][0]["registers"])
    await tb.reset()
    ends = []
    for s, session in enumerate(given["sessions"]):
        tb.set(**session["registers"])
        assign.stall = session.get("stall", 0.0)
        for source in (job, table, tokens):
            source.idle = session.get("idle", 0.0)
        packets = session["packets"]
        job.send_all(packet["job"] for packet in packets)
        table.send_all(row for packet in packets for row in packet["table"])
        tokens.send_all({"bits": bits} for packet in packets for bits in packet["hash"])
        ends += await check(tb, assign, f"{session.get('name', s)} assign", packets)
        await tb.finish()
        if session.get("reset"):
            await tb.restart()
    give(trailers=ends, **{name: tb.get(name) for name in COUNTERS})
