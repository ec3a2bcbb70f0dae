"""Bench of the KVPU: registers, jobs of both kinds side by side, and everything that goes wrong.

Arguments: ``config``, its fields (:meth:`vrex_hw.config.Config.to_dict`), ``seed``, ``idle``,
``stall`` and ``jobs``, how many jobs of each kind the random traffic has.
"""

import random
from typing import Any

import cocotb

from vrex_hw.config import from_dict
from vrex_sim.benches import kvpu_traffic as traffic
from vrex_sim.compare import equal
from vrex_sim.exchange import arguments
from vrex_sim.kvpu_bus import Kvpu


def make(dut: Any, *, patience: int = 100_000, busy: bool = True) -> Kvpu:
    """Make the bus from the bench's arguments; ``busy``: with idling and back-pressure."""
    a = arguments()
    pauses = {"idle": a["idle"], "stall": a["stall"]} if busy else {}
    config = from_dict(a["config"])
    return Kvpu(dut, config, seed=a["seed"], patience=patience, **pauses)


def send_cluster(bus: Kvpu, job: dict[str, Any]) -> None:
    """Queue a cluster job's table and hash bits."""
    bus.send("s_axis_table", job["table"])
    bus.send("s_axis_hash", job["hash"])


def send_select(bus: Kvpu, job: dict[str, Any]) -> None:
    """Queue a select job's rows."""
    for row in job["rows"]:
        bus.send_row(row)


async def check_cluster(bus: Kvpu, index: int, job: dict[str, Any]) -> None:
    """Take a cluster job's packet and compare it."""
    beats, trailer, cycle = await bus.packet("m_axis_assign")
    at = {"cycle": cycle, "origin": bus.tb.origin}
    got = [{k: beat[k] for k in ("number", "opened", "error")} for beat in [*beats, trailer]]
    expected = [*job["assign"], job["trailer"]]
    equal("kvpu", "assign.length", (index,), len(expected), len(got), **at)
    for n, pair in enumerate(zip(expected, got, strict=True)):
        equal("kvpu", "assign", (index, n), *pair, **at)


async def check_rows(bus: Kvpu, index: int, job: dict[str, Any]) -> None:
    """Take a select job's row packets and compare each."""
    lanes = bus.config.wtu.lanes
    for row, pick in enumerate(job["picks"]):
        beats, trailer, cycle = await bus.packet("m_axis_row")
        at = {"cycle": cycle, "origin": bus.tb.origin}
        hits = [
            lane["word"] * lanes + number
            for beat in beats
            for number, lane in enumerate(beat["lanes"])
            if lane["hit"]
        ]
        where = (index, row)
        equal("kvpu", "row", where, pick or [], sorted(hits), **at)
        equal("kvpu", "row.number", where, len(pick or []), trailer["number"], **at)
        equal("kvpu", "row.error", where, int(pick is None), trailer["error"], **at)


async def check_union(bus: Kvpu, index: int, job: dict[str, Any]) -> None:
    """Take a select job's union and compare it."""
    beats, trailer, cycle = await bus.packet("m_axis_selected")
    at = {"cycle": cycle, "origin": bus.tb.origin}
    equal("kvpu", "selected", (index,), job["union"], [beat["number"] for beat in beats], **at)
    end = (trailer["number"], trailer["error"])
    equal("kvpu", "selected.trailer", (index,), (len(job["union"]), job["error"]), end, **at)


async def run_cluster(bus: Kvpu, jobs: list[dict[str, Any]]) -> None:
    """Start cluster jobs as fast as the queue takes them and check every packet."""
    for job in jobs:
        send_cluster(bus, job)

    async def check() -> None:
        for index, job in enumerate(jobs):
            await check_cluster(bus, index, job)

    checking = cocotb.start_soon(check())
    for job in jobs:
        await bus.start("cluster", job["registers"])
    await checking


async def run_select(bus: Kvpu, jobs: list[dict[str, Any]]) -> None:
    """Start select jobs as fast as the queue takes them and check every packet."""
    for job in jobs:
        send_select(bus, job)

    async def check(one: Any) -> None:
        for index, job in enumerate(jobs):
            await one(bus, index, job)

    checking = [cocotb.start_soon(check(one)) for one in (check_rows, check_union)]
    for job in jobs:
        await bus.start("select", job["registers"])
    for task in checking:
        await task


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Jobs of both kinds at once, each with parameters of its own, all streams stalling."""
    a = arguments()
    rng = random.Random(a["seed"])
    bus = make(dut, patience=60_000)
    await bus.reset()
    clusters = traffic.cluster_jobs(rng, bus.config.hcu, a["jobs"])
    selects = traffic.select_jobs(rng, bus.config, a["jobs"])
    both = [cocotb.start_soon(run_cluster(bus, clusters))]
    both.append(cocotb.start_soon(run_select(bus, selects)))
    for task in both:
        await task
    await bus.finish()
    faults = await bus.status() - {"cluster_done", "select_done"}
    assert faults <= {"row_too_long"}, faults
