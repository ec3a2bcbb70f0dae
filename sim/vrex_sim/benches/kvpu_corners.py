"""Bench of the KVPU's corners by name; the arguments are those of :mod:`vrex_sim.benches.kvpu`."""

import random
from typing import Any

import cocotb
from cocotbext.axi import AxiResp

from vrex import Params
from vrex_hw.kvpu.engine import CLUSTER_PARAMETERS
from vrex_hw.registers import KVPU, Access
from vrex_hw.registers.kvpu import SINKS, SOURCES
from vrex_sim.benches import kvpu_traffic as traffic
from vrex_sim.benches.kvpu import (
    check_cluster,
    check_rows,
    check_union,
    make,
    run_cluster,
    run_select,
    send_cluster,
    send_select,
)
from vrex_sim.exchange import arguments
from vrex_sim.kvpu_bus import Kvpu

PLAIN = Params(wicsum_ratio=0.5, k_min=2, k_max=9)
LIMIT = 60
"""Cycles of the watchdog in these benches."""


def rng_of(name: str) -> random.Random:
    """Return a generator for one test."""
    return random.Random(f"{arguments()['seed']} {name}")


async def clear_status(bus: Kvpu) -> None:
    """Clear every sticky bit."""
    await bus.write(status=(1 << 32) - 1)


async def wait_for(bus: Kvpu, flag: str) -> None:
    """Read the status until ``flag`` is set."""
    while flag not in await bus.status():
        pass


@cocotb.test()
async def registers(dut: Any) -> None:
    """Reset values, widths, byte strobes, read-only registers and unmapped addresses."""
    bus = make(dut)
    await bus.reset()
    for register in KVPU.registers:
        value = KVPU.constants(bus.config).get(register.name, register.reset)
        assert await bus.read(register.name) == value, register
        if register.access is Access.SETTING:
            await bus.write(**{register.name: 0xFFFFFFFF})
            assert await bus.read(register.name) == (1 << register.bits) - 1, register
            await bus.lite.write(register.offset + 1, b"\x00")
            mask = 0xFFFF00FF & ((1 << register.bits) - 1)
            assert await bus.read(register.name) == mask, register
            await bus.write(**{register.name: 0})
        elif register.access is not Access.COMMAND:
            await bus.write(**{register.name: 0xFFFFFFFF})
            assert await bus.read(register.name) == value, register
    for address in set(range(0, 4096, 4)) - set(KVPU.address.values()):
        if address < 0x200 or address % 0x3C == 0:
            read, write = await bus.lite.read(address, 4), await bus.lite.write(address, b"abcd")
            assert (read.resp, bytes(read.data)) == (AxiResp.SLVERR, bytes(4)), hex(address)
            assert write.resp == AxiResp.SLVERR, hex(address)
    for register in KVPU.registers:
        if register.access is Access.SETTING:
            assert await bus.read(register.name) == 0, "an unmapped write changed a register"
    assert dut.irq.value == 0


@cocotb.test()
async def unions(dut: Any) -> None:
    """No row, one row, forty rows; and the counters, cleared between."""
    rng, bus = rng_of("unions"), make(dut)
    await bus.reset()
    for rows in (0, 1, 40, 0, 0, 1):
        await bus.write(command=KVPU.mask["command"]["clear_counters"])
        lists = [traffic.random_row(rng, bus.config.wtu) for _ in range(rows)]
        await run_select(bus, [traffic.select_job(lists, PLAIN, bus.config)])
        await bus.finish()
        assert await bus.read("wtu_rows") == rows
        assert (await bus.read("wtu_busy") > 0) == (rows > 0)
    assert await bus.read("hcu_compares") == 0


@cocotb.test()
async def frames_and_text(dut: Any) -> None:
    """Jobs of both stages in turn, queued behind each other: each by its own floor and cap."""
    rng, bus = rng_of("text"), make(dut)
    params = PLAIN.replace(text_k_min=1, text_k_max=3)
    await bus.reset()
    jobs = []
    for text in (False, True, True, False, True, False):
        rows = [traffic.random_row(rng, bus.config.wtu) for _ in range(6)]
        jobs.append(traffic.select_job(rows, params.at(text=text), bus.config))
        other = traffic.select_job(rows, params.at(text=not text), bus.config)
        assert jobs[-1]["picks"] != other["picks"]
    await run_select(bus, jobs)
    await bus.finish()


@cocotb.test()
async def row_too_long(dut: Any) -> None:
    """A row beyond the memory is a status; the rows beside it and the next job are whole."""
    rng, bus = rng_of("long"), make(dut)
    entries = bus.config.wtu.entries
    await bus.reset()
    for excess in (1, bus.config.wtu.lanes, 3 * entries):
        rows = [traffic.random_row(rng, bus.config.wtu) for _ in range(3)]
        rows[1] = [(9, 1)] * (entries + excess)
        await run_select(bus, [traffic.select_job(rows, PLAIN, bus.config)])
        assert "row_too_long" in await bus.status()
        await clear_status(bus)
        await run_select(bus, [traffic.select_job(rows[::2], PLAIN, bus.config)])
        assert "row_too_long" not in await bus.status()
    await bus.finish()


@cocotb.test()
async def full_queues(dut: Any) -> None:
    """A start that finds its queue full makes no job and sets a bit; the queued jobs are whole."""
    rng, bus = rng_of("full"), make(dut)
    await bus.reset()
    jobs = traffic.cluster_jobs(rng, bus.config.hcu, 12)
    taken = await fill(bus, "cluster", jobs)
    for job in jobs[:taken]:
        send_cluster(bus, job)
    for index, job in enumerate(jobs[:taken]):
        await check_cluster(bus, index, job)
    jobs = traffic.select_jobs(rng, bus.config, 12)
    taken = await fill(bus, "select", [job for job in jobs if job["rows"]])
    jobs = [job for job in jobs if job["rows"]][:taken]
    for job in jobs:
        send_select(bus, job)
    for index, job in enumerate(jobs):
        await check_rows(bus, index, job)
        await check_union(bus, index, job)
    await bus.finish()


async def fill(bus: Kvpu, kind: str, jobs: list[dict[str, Any]]) -> int:
    """Start jobs that have no data until the queue is full, then one more; return how many."""
    taken = 0
    while f"{kind}_full" not in await bus.status():
        await bus.start(kind, jobs[taken]["registers"])
        taken += 1
        await bus.tb.cycles(20)
    assert taken >= await bus.read("queue_depth")
    assert f"{kind}_dropped" not in await bus.status()
    await bus.write(command=KVPU.mask["command"][f"start_{kind}"])
    assert f"{kind}_dropped" in await bus.status()
    return taken


@cocotb.test()
async def refused_jobs(dut: Any) -> None:
    """A job beyond the HCU's memories is drained and refused; the next one is whole."""
    rng, bus = rng_of("refused"), make(dut)
    await bus.reset()
    jobs = traffic.cluster_jobs(rng, bus.config.hcu, 4)
    wide = {"join_window": bus.config.hcu.joinable + 1, "recent_window": 9999}
    many = {"entries": 2, "tokens": bus.config.hcu.open - 1, "join_window": 1}
    for excess in (wide, many):
        registers = {**jobs[0]["registers"], "tokens": 3, "entries": 2, "resume": 0, **excess}
        bad = {
            "registers": registers,
            "table": [{"first": 1, "count": 1}] * registers["entries"],
            "hash": [{"bits": 1}] * registers["tokens"],
            "assign": [],
            "trailer": {"number": 0, "opened": 0, "error": 1},
        }
        await run_cluster(bus, [bad])
        assert "job_refused" in await bus.status()
        await clear_status(bus)
    await run_cluster(bus, jobs)
    assert "job_refused" not in await bus.status()
    await bus.finish()


@cocotb.test()
async def watchdog(dut: Any) -> None:
    """Each stream that stalls sets its own bit and raises irq; what it carries stays whole."""
    rng, bus = rng_of("watchdog"), make(dut, busy=False)
    await bus.reset()
    stalls = {name: f"stalled_{name}" for name in SINKS + SOURCES}
    every = sum(KVPU.mask["status"][flag] for flag in stalls.values())
    await bus.write(watchdog_limit=LIMIT, interrupt_enable=every)
    job = cluster_job_with_table(rng, bus)
    select = traffic.select_job([[(9, 1)] * 9, [(3, 1)] * 40], PLAIN, bus.config)
    for name, flag in stalls.items():
        stream = (bus.source | bus.sink)[name]
        stream.pause = True
        await clear_status(bus)
        send_cluster(bus, job)
        send_select(bus, select)
        await bus.start("cluster", job["registers"])
        await bus.start("select", select["registers"])
        await wait_for(bus, flag)
        assert dut.irq.value == 1
        assert await bus.status() & set(stalls.values()) == {flag}
        stream.pause = False
        await check_all(bus, job, select)
    await bus.write(watchdog_limit=0)
    await clear_status(bus)
    await run_cluster_late(bus, job)
    assert not await bus.status() & set(stalls.values())
    assert dut.irq.value == 0
    await bus.finish()


def cluster_job_with_table(rng: random.Random, bus: Kvpu) -> dict[str, Any]:
    """Return a job that moves data on every stream of the HCU."""
    while True:
        for job in traffic.cluster_jobs(rng, bus.config.hcu, 9):
            if job["table"] and job["hash"]:
                return job


async def check_all(bus: Kvpu, job: dict[str, Any], select: dict[str, Any]) -> None:
    """Check one job of each kind."""
    await check_cluster(bus, 0, job)
    await check_rows(bus, 0, select)
    await check_union(bus, 0, select)


async def run_cluster_late(bus: Kvpu, job: dict[str, Any]) -> None:
    """Send a job's data long after its start."""
    await bus.start("cluster", job["registers"])
    await bus.tb.cycles(5 * LIMIT)
    send_cluster(bus, job)
    await check_cluster(bus, 0, job)


@cocotb.test()
async def streams_wait_for_their_jobs(dut: Any) -> None:
    """Rows wait for a select job; the next head's table comes in before this job's tokens."""
    rng, bus = rng_of("wait"), make(dut, busy=False)
    await bus.reset()
    select = traffic.select_job([[(9, 1)] * 9] * 3, PLAIN, bus.config)
    send_select(bus, select)
    await bus.tb.cycles(100)
    assert dut.s_axis_row_tready.value == 0
    assert await bus.read("wtu_rows") == 0
    await bus.start("select", select["registers"])
    await check_rows(bus, 0, select)
    await check_union(bus, 0, select)
    jobs = [cluster_job_with_table(rng, bus) for _ in range(2)]
    same = {name: jobs[0]["registers"][name] for name in CLUSTER_PARAMETERS.members}
    for job in jobs:
        bus.send("s_axis_table", job["table"])
        await bus.start("cluster", job["registers"] | same)
    await bus.tb.cycles(200)
    bus.send("s_axis_hash", jobs[0]["hash"])
    await bus.packet("m_axis_assign")
    assert bus.source["s_axis_table"].idle()
    bus.send("s_axis_hash", jobs[1]["hash"])
    await bus.packet("m_axis_assign")
    await bus.finish()


@cocotb.test()
async def reset_in_mid_job(dut: Any) -> None:
    """A reset at any time leaves a device that is as new."""
    rng = rng_of("reset")
    bus = make(dut)
    await bus.reset()
    for _ in range(12):
        selects = [j for j in traffic.select_jobs(rng, bus.config, 9) if j["rows"]][:2]
        clusters = traffic.cluster_jobs(rng, bus.config.hcu, 2)
        for select, job in zip(selects, clusters, strict=True):
            send_select(bus, select)
            send_cluster(bus, job)
            await bus.start("select", select["registers"])
            await bus.start("cluster", job["registers"])
        await bus.tb.cycles(rng.randrange(150))
        await bus.restart()
        await run_cluster(bus, traffic.cluster_jobs(rng, bus.config.hcu, 2))
        await run_select(bus, traffic.select_jobs(rng, bus.config, 2))
        await bus.finish()
