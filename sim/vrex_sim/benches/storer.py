"""Bench of the storer with its mean unit: device memory, the host link and the tables are played.

Arguments: ``config``, the fields of a :class:`~vrex_hw.config.Config`; ``seed``, ``idle``,
``stall``; ``latency``, the most cycles that a port takes; ``memory`` (line numbers) and ``lines``
uint16 [N, side]: what memory holds at the start; ``streams``, beats for the inputs by their name;
``values`` of plain inputs; ``jobs``, each with ``fields`` of the job stream, ``open``: null, or the
open entries that its head brings, [slot, fields]; and ``faults``: what goes wrong in that job, kind
to the number of the line or request: ``read``, ``write``, ``outside``, ``link`` (with LINK_ERROR).

Gives back what happened: ``write_address``, ``write_data`` [N, side], ``write_mask``,
``transfers`` [address, lines], ``given`` [N, side], ``map`` and ``entries`` (the table's writes,
[address, fields]), and ``marks``: after each job its ``done``, the cycle, and how many of each
there were by then.
"""

from collections import deque
from typing import Any, cast

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from vrex_hw.config import from_dict
from vrex_hw.hcu.layouts import ASSIGNMENT, JOB, table_entry, token
from vrex_hw.kvmu.storer.layouts import DONE, job_layout
from vrex_sim.benches.storer_ports import Job, Link, Memory, Tables
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


@cocotb.test()
async def storer(dut: Any) -> None:
    """Send all jobs and their beats; play everything else; note what happened by each done."""
    a = arguments()
    config = from_dict(a["config"])
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=3_000)
    now, side = Job(), config.lxe.side
    memory, link, tables = Memory(tb, config, a, now), Link(tb, config, a, now), Tables(tb, config)
    shapes = {
        "assign": ASSIGNMENT,
        "hash": token(config.hcu),
        "cluster": JOB,
        "table": table_entry(config.hcu),
    }
    for name, beats in a["streams"].items():
        tb.source(name, shapes[name]).send_all(beats)
    jobs, done = tb.source("job", job_layout(config)), tb.sink("done", DONE)
    jobs.send_all(job["fields"] for job in a["jobs"])
    waiting, marks = deque(a["jobs"]), []

    def begin(packed: int, cycle: int) -> None:
        job = waiting.popleft()
        now.begin(job["faults"])
        tables.load(job["open"])

    def end(packed: int, cycle: int) -> None:
        assert memory.busy == 0 and link.busy == 0, "done while something is under way"
        logs = (memory.log, link.transfers, link.given, tables.map, tables.entries)
        counts = list(map(len, cast(tuple[list[Any], ...], logs)))
        names = ("tokens_stored", "clusters_sealed", "lines_offloaded")
        counters = [tb.get(name) for name in names]
        marks.append([done.packer.unpack(packed), cycle, counts, counters])

    async def play() -> None:
        while True:
            await RisingEdge(dut.clk)
            for part in (memory, link, tables):
                part.step()

    jobs.on_beat, done.on_beat = begin, end
    tb.set(read__line=0, write__done=0, transfer__result=0, transfer__line=0, **a["values"])
    await tb.reset()
    cocotb.start_soon(play())
    while len(marks) < len(a["jobs"]):
        await RisingEdge(dut.clk)
    await tb.finish()
    assert tb.get("busy") == 0
    give(
        write_address=np.array([number for number, _, _ in memory.log], np.int64),
        write_data=np.array([line for _, line, _ in memory.log], np.uint16).reshape(-1, side),
        write_mask=np.array([mask for _, _, mask in memory.log], np.int64),
        transfers=np.array(link.transfers, np.int64).reshape(-1, 2),
        given=np.array(link.given, np.uint16).reshape(-1, side),
        map=tables.map,
        entries=tables.entries,
        marks=marks,
    )
