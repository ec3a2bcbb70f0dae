"""Bench of the row aggregator: unions of rows, against Python's sets.

Arguments: ``entries`` and ``lanes`` of the configuration, ``jobs`` (a list of jobs, a job a list
of rows, a row ``{"clusters": [...], "error": 0 or 1}``), ``idle``, ``stall`` and ``seed``.
"""

import random

import cocotb

from vrex_hw.config import WTUConfig
from vrex_hw.kvpu.aggregator import JOB
from vrex_hw.kvpu.reader import UNION
from vrex_hw.wtu.layouts import Layouts
from vrex_sim import compare
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


def beats(row, lanes, rng, density):
    """Yield the WTU's beats for ``row``: each cluster once, in any order, then the trailer."""
    words = [[c // lanes for c in row["clusters"] if c % lanes == lane] for lane in range(lanes)]
    for lane in words:
        rng.shuffle(lane)
    while any(words):
        hits = [bool(lane) and rng.random() < density for lane in words]
        yield {
            "lanes": [
                {"hit": hit, "word": lane.pop() if hit else lane[0] if lane else 0}
                for hit, lane in zip(hits, words, strict=True)
            ]
        }
    yield {"number": len(row["clusters"]), "error": row["error"], "last": 1}


@cocotb.test()
async def bench(dut):
    """Send every job at once and compare each packet with the sorted union."""
    a = arguments()
    config = WTUConfig(lanes=a["lanes"], entries=a["entries"])
    rng = random.Random(a["seed"])
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"])
    job, rows = tb.source("job", JOB), tb.source("selected", Layouts(config).selected)
    out = tb.sink("union", UNION)
    await tb.reset()
    for rows_of_job in a["jobs"]:
        job.send({"rows": len(rows_of_job)})
        for row in rows_of_job:
            rows.send_all(beats(row, config.lanes, rng, 0.7 if a["idle"] else 1.0))
    for index, rows_of_job in enumerate(a["jobs"]):
        union = sorted({c for row in rows_of_job for c in row["clusters"]})
        error = int(any(row["error"] for row in rows_of_job))
        expected = [(number, 0, 0) for number in union] + [(len(union), error, 1)]
        packet = await out.packet_at()
        for n, (beat, cycle) in enumerate(packet):
            compare.equal(
                "aggregator",
                "union",
                (index, n),
                expected[n] if n < len(expected) else "no beat",
                (beat["number"], beat["error"], beat["last"]),
                cycle=cycle,
                origin=tb.origin,
            )
        if len(packet) != len(expected):
            raise compare.Mismatch(f"job {index}: {len(packet)} beats of {len(expected)}")
    give(cycles=tb.cycle)
    await tb.finish()
