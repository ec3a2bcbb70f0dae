"""The core as a host drives it: registers, rings, the interrupt, fences, a full queue."""

import numpy as np
import pytest
import torch
from core_bed import CANARY, KV_HEADS, TEXT, TINY, Bed, stream

from vrex_hw.core.ports import UNITS
from vrex_hw.kvmu.layouts import STATUS, Fault
from vrex_hw.registers import CORE
from vrex_sim.packer import Packer

PAUSES = [0.0, 0.4]


@pytest.mark.parametrize("pause", PAUSES)
def test_jobs_of_the_registers(system, pause):
    """One after the other, then as many as wait, beside some of the ring; frames and text."""
    bed = Bed(system, pause=pause, seed=2, params=TEXT)

    async def scenario():
        await bed.begin()
        for frame in range(3):
            for head in range(KV_HEADS):
                await bed.start(bed.job(frame, head))
                (status,) = await bed.ends()
                assert status["fault"] == Fault.NONE
                assert "done" in await bed.flags()
                assert await bed.read("last_status") == frame * KV_HEADS + head
        await bed.check()
        for frame in (3, 5, 7, 9):
            await bed.start(bed.job(frame, 0))
            await bed.start(bed.job(frame, 1))
            assert [status["fault"] for status in await bed.ends()] == [0, 0]
            await bed.frames(0, frame + 1)
            await bed.frames(1, frame + 1)
        assert await bed.flags() == {"done"}
        assert await bed.read("jobs_ended") == 22
        assert (await bed.header(0))["tokens"] == (await bed.header(1))["tokens"] == 44

    bed.run(scenario())


@pytest.mark.parametrize("pause", PAUSES)
def test_the_ring_goes_round(system, pause):
    """A ring of four jobs, fed one to four at a time; each status lies where its job's turn is.

    Frames and text take turns, so floor and cap change while the job before retrieves.
    """
    bed = Bed(system, pause=pause, seed=3, params=TEXT)
    jobs = [bed.job(frame, head) for frame in range(12) for head in range(KV_HEADS)]
    at = bed.place.starts["statuses"]

    async def scenario():
        await bed.begin(ring_log2=2)
        bed.host.put(at, np.full((5, bed.place.regions.line_bytes), CANARY, np.uint8))
        done = 0
        for count in (1, 4, 2, 3, 4, 1, 1, 4, 4):
            await bed.ring(*jobs[done : done + count])
            for number, status in enumerate(await bed.ends(), done):
                assert status["fault"] == Fault.NONE
                line = await bed.host.dump(at + number % 4, 1)
                word = int.from_bytes(line.tobytes(), "little")
                assert Packer(STATUS).unpack(word) == status
            done += count
            assert await bed.read("jobs_ended") == done
        await bed.check()
        assert (await bed.host.dump(at + 4, 1) == CANARY).all()
        assert done == len(jobs)

    bed.run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        {"text_k_min": 2, "text_k_max": 5},
        {"text_k_min": 2},
        {"text_k_max": 5},
        {"text_k_min": 2, "text_k_max": 1},
    ],
    ids=["those of frames", "their floor", "their cap", "in each other's place"],
)
def test_these_streams_show_what_text_selects_by(changes):
    """Another floor or cap gives another output, at text alone."""
    (_, one), (_, other) = stream(TEXT, 12), stream(TEXT.replace(**changes), 12)
    same = [torch.equal(*pair) for pair in zip(one["attn_out"], other["attn_out"], strict=True)]
    assert all(same[::2]) and not all(same[1::2])


def test_the_count_of_the_ring_wraps(system):
    """At 65,536 jobs: those before are none that can be, which takes the least time."""
    bed = Bed(system, pause=0.0, seed=12, memory_latency=0)

    async def scenario():
        await bed.begin(ring_log2=1, write_statuses=0)
        await bed.frames(0, 0)
        for tail in (0x8000, 0xFFFD):
            bad = [bed.job(1, 0, group=0)] * 2
            await bed.ring(*bad)
            await bed.ends()
            await bed.write(ring_tail=tail)
            await bed.device.packets("status", tail - bed.started)
            bed.started = tail
        for frame in range(1, 7):
            await bed.frames(0, frame)
        assert bed.started == 0x10003
        assert await bed.read("jobs_ended") == 0x10003
        assert await bed.read("ring_tail") == 3

    bed.run(scenario())


def test_statuses_are_not_written_where_none_are_wanted(system):
    bed = Bed(system, seed=4)
    at = bed.place.starts["statuses"]

    async def scenario():
        await bed.begin(write_statuses=0)
        guard = np.full((1 << bed.ring_log2, bed.place.regions.line_bytes), CANARY, np.uint8)
        bed.host.put(at, guard)
        await bed.frames(0, 0, 1)
        assert (await bed.host.dump(at, len(guard)) == CANARY).all()
        await bed.write(write_statuses=1)
        await bed.frames(0, 2)
        written = (await bed.host.dump(at, len(guard)) != CANARY).any(1)
        assert np.flatnonzero(written).tolist() == [2]

    bed.run(scenario())


def test_the_interrupt(system):
    """High while an enabled bit is set: from the end of a job until the host clears the bit."""
    bed = Bed(system, seed=5)
    masks = CORE.mask["status"]

    async def irq():
        await bed.read("magic")
        return bed.device.get("irq")

    async def scenario():
        await bed.begin()
        await bed.frames(0, 0)
        assert not await irq()
        await bed.write(interrupt_enable=masks["failed"] | masks["dropped"])
        assert not await irq()
        await bed.write(interrupt_enable=masks["done"])
        assert await irq()
        await bed.clear("failed", "dropped")
        assert await irq()
        await bed.clear("done")
        assert not await irq()
        await bed.frames(0, 1)
        assert await irq()
        await bed.write(interrupt_enable=masks["failed"])
        assert not await irq()
        assert await bed.faults(bed.job(2, 0, tokens=0)) == [Fault.BAD_JOB]
        assert await irq()
        assert await bed.flags() == {"done", "failed"}
        await bed.clear("failed")
        assert not await irq()
        assert await bed.flags() == {"done"}
        await bed.frames(0, 2)

    bed.run(scenario())


def test_the_interrupt_tells_that_a_job_runs(system):
    """A level bit is enabled as well as a sticky one, and goes by itself."""
    bed = Bed(system, seed=6)

    async def scenario():
        await bed.begin(interrupt_enable=CORE.mask["status"]["busy"])
        assert not bed.device.get("irq")
        await bed.start(bed.job(0, 0))
        await bed.read("magic")
        assert bed.device.get("irq")
        await bed.ends()
        await bed.read("magic")
        assert not bed.device.get("irq")
        await bed.check()

    bed.run(scenario())


def packets(bed, stream):
    """Return the first and the last cycle of each packet of an output."""
    port = bed.device.outputs[stream]
    beats, cycles = port.results("x")["x"], port.results("x")["x_cycle"]
    last = port.stream.last_bit
    ends = (
        np.arange(len(beats)) if last < 0 else np.flatnonzero(beats[:, last // 8] >> last % 8 & 1)
    )
    firsts = np.append(0, ends[:-1] + 1)
    return list(zip(cycles[firsts].tolist(), cycles[ends].tolist(), strict=True))


@pytest.mark.parametrize("fence", [0, 1])
@pytest.mark.parametrize("queue", ["ring", "registers"])
def test_a_fence_waits_for_every_job_before_it(system, fence, queue):
    """What a fenced job selects comes when all before have ended; else it is sooner than that."""
    bed = Bed(system, pause=0.0, seed=7, memory_latency=30)
    jobs = [bed.job(9, 0), bed.job(9, 1, fence=fence), bed.job(10, 0), bed.job(10, 1, fence=fence)]

    async def scenario():
        await bed.begin()
        for frame in range(9):
            await bed.do(bed.job(frame, 0), bed.job(frame, 1))
        if queue == "ring":
            await bed.ring(*jobs)
        else:
            for number, job in enumerate(jobs):
                before = jobs[number - 1] if number else {}
                await bed.start(job, *(name for name in job if job[name] != before.get(name)))
        assert [status["fault"] for status in await bed.ends()] == [Fault.NONE] * 4
        await bed.check()

    bed.run(scenario())
    begins = [first for first, _ in packets(bed, "m_axis_selected")[-4:]]
    ends = [end for end, _ in packets(bed, "status")[-4:]]
    waits = [begin > end for begin, end in zip(begins[1:], ends, strict=False)]
    assert waits == [fence, 0, fence]


@pytest.mark.parametrize(("bad", "fence"), [(1, 1), (2, 1), (2, 0)])
def test_a_fence_behind_jobs_that_fail(system, bad, fence):
    """It waits until the last status of them lies in memory; without a fence nobody does."""
    latency = 200
    bed = Bed(system, pause=0.0, seed=8, memory_latency=latency)
    first, good = bed.job(0, 0, group=0), bed.job(0, 0, fence=fence)

    async def scenario():
        await bed.begin()
        await bed.start(first)
        for _ in range(bad - 1):
            await bed.start(first, "group")
        await bed.start(good, "group", "fence")
        statuses = await bed.ends()
        assert [status["fault"] for status in statuses] == [Fault.BAD_JOB] * bad + [Fault.NONE]
        await bed.check()

    bed.run(scenario())
    # A job of the registers reads nothing before it begins, and then its head's header.
    began, end = works_from(bed, "memory_in"), packets(bed, "status")[bad - 1][0]
    assert began > end + latency if fence else began < end


def test_a_fence_right_behind_a_job_that_fails(system):
    """Both are queued with fences: the second finds no cycle in which all seems to have ended."""
    latency = 200
    bed = Bed(system, pause=0.0, seed=14, memory_latency=latency)

    async def scenario():
        await bed.begin()
        await bed.start(bed.job(0, 1))
        await bed.start(bed.job(0, 0, group=0, fence=1))
        await bed.start(bed.job(0, 0, fence=1), "group")
        faults = [status["fault"] for status in await bed.ends()]
        assert faults == [Fault.NONE, Fault.BAD_JOB, Fault.NONE]
        await bed.check()

    bed.run(scenario())
    before, end = (packets(bed, "status")[n][0] for n in (0, 1))
    assert end > before + latency, "each status is written"
    assert works_from(bed, "memory_in", before) > end + latency


def test_a_host_that_takes_its_time_with_statuses(system):
    """Some thousand cycles each: jobs wait for room and for banks, and all are right."""
    bed = Bed(system, pause=0.0, slow={"status": 0.9997}, seed=13, memory_latency=5)

    async def scenario():
        await bed.begin()
        await bed.do(*(bed.job(frame, head) for frame in range(12) for head in range(KV_HEADS)))
        assert await bed.flags() == {"done"}

    bed.run(scenario())


def works_from(bed, unit, since=0):
    """Return the first cycle from ``since`` on in which a unit begins to work, None if none."""
    beats = bed.device.outputs["activity"].results("activity")["activity"]
    words = np.zeros((len(beats), 8), np.uint8)
    words[:, : beats.shape[1]] = beats
    packed = words.view("<u8")[:, 0]
    cycles = (packed & 0xFFFFFFFF).astype(np.int64)
    begins = np.diff((packed >> 32 + UNITS.index(unit) & 1).astype(int), prepend=0) == 1
    found = np.flatnonzero(begins & (cycles >= since))
    return int(cycles[found[0]]) if len(found) else None


@pytest.mark.parametrize("pause", PAUSES)
def test_a_start_that_finds_the_queue_full_is_dropped(system, pause):
    """One runs, others wait, two more are dropped. The ring's come later."""
    bed = Bed(system, pause=pause, seed=9, memory_latency=255)
    depth = TINY.kvmu.jobs
    jobs = [bed.job(frame, head) for frame in range(5) for head in range(KV_HEADS)]

    async def scenario():
        await bed.begin()
        assert await bed.read("queue_depth") == depth
        await bed.start(jobs[0])
        while works_from(bed, "table") is None:
            await bed.read("magic")
        started = 1
        while "full" not in await bed.flags():
            await bed.start(jobs[started])
            started += 1
        # Those that are in hand wait in no queue.
        assert 1 + depth <= started <= 3 + depth
        await bed.ring(*jobs[started:])
        assert await bed.flags() == {"busy", "full"}
        for number in (1, 2):
            job = bed.job(3, 0, id=number, tokens=1)
            await bed.start(job, "id", "tokens", "fence", fresh=False)
            assert await bed.flags() == {"busy", "full", "dropped"}
            await bed.clear("dropped")
        assert await bed.flags() == {"busy", "full"}
        assert [status["fault"] for status in await bed.ends()] == [Fault.NONE] * len(jobs)
        await bed.check()
        assert await bed.flags() == {"done"}
        assert await bed.read("jobs_ended") == len(jobs)

    bed.run(scenario())


def test_counters_begin_anew_when_they_are_cleared(system):
    bed = Bed(system, seed=10)

    async def scenario():
        await bed.begin()
        await bed.frames(0, 0, 1, 2)
        assert await bed.read("jobs") == 3
        assert await bed.read("tokens_stored") == 12
        await bed.write(command=CORE.mask["command"]["clear_counters"])
        for name in ("jobs", "tokens_stored", "memory_beats_in", "storer_busy", "hcu_compares"):
            assert await bed.read(name) == 0
        assert await bed.faults(bed.job(3, 0), bed.job(4, 0, group=0)) == [0, Fault.BAD_JOB]
        assert (await bed.read("jobs"), await bed.read("jobs_failed")) == (2, 1)
        assert await bed.read("tokens_stored") == 4
        assert await bed.read("jobs_ended") == 5, "a value is no counter"

    bed.run(scenario())
