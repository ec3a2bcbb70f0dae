"""Where jobs come from: the queue, starts that it drops, the ring and what of it cannot be read."""

import pytest
from play import Play, PlayedMemory

from vrex_hw.config import CONFIGS
from vrex_hw.core.jobs import Jobs
from vrex_hw.kvmu.layouts import DESCRIPTOR
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
DEPTH = TINY.kvmu.jobs
RING = 0x2340
PACKER = Packer(DESCRIPTOR)


class Bed:
    """The unit, a ring in memory, and what comes out."""

    def __init__(self, config=TINY, *, pause=0.0, latency=0, seed=1):
        self.unit = unit = Jobs(config)
        self.play = Play(unit, pause=pause, seed=seed)
        self.memory = PlayedMemory(self.play, unit.read, latency=latency)
        self.lines = 64 // (2 * config.lxe.side) or 1
        self.bits = 16 * config.lxe.side
        self.out = []

    def job(self, number):
        """Return a job with noise in every field."""
        draw = self.play.random.getrandbits
        return {**PACKER.unpack(draw(DESCRIPTOR.size)), "id": number & 0xFFFF, "padding": 0}

    def put(self, index, job, log2):
        """Write a job of the ring."""
        at, packed = RING + index % (1 << log2) * self.lines, PACKER.pack(job)
        for line in range(self.lines):
            bits = packed >> self.bits * line & (1 << self.bits) - 1
            # What a line has beside the descriptor means nothing.
            noise = self.play.random.getrandbits(self.bits) << DESCRIPTOR.size
            self.memory.lines[at + line] = (bits | noise) & (1 << self.bits) - 1

    async def start(self, ctx, job):
        """Pulse ``start``; return whether it was dropped."""
        ctx.set(self.unit.job.as_value(), PACKER.pack(job))
        ctx.set(self.unit.start, 1)
        dropped = ctx.get(self.unit.dropped)
        assert dropped == ctx.get(self.unit.full)
        await ctx.tick()
        ctx.set(self.unit.start, 0)
        ctx.set(self.unit.job.as_value(), self.play.random.getrandbits(DESCRIPTOR.size))
        assert not ctx.get(self.unit.dropped)
        return bool(dropped)

    def take(self):
        """Let jobs be taken from now on."""
        self.out = self.play.drain(self.unit.o)

    async def ends(self, ctx, count):
        """Wait for so many jobs in all; the unit then waits for none."""
        await self.play.until(ctx, lambda: len(self.out) >= count)
        await ctx.tick()
        assert not ctx.get(self.unit.waits) and not ctx.get(self.unit.o.valid)
        return [beat["descriptor"] for beat in self.out]


def test_starts_until_the_queue_is_full():
    """As many as fit are queued, the others dropped; they leave in order, whole."""
    bed = Bed()
    jobs = [bed.job(n) for n in range(DEPTH + 2)]

    async def testbench(ctx):
        assert not ctx.get(bed.unit.waits)
        for number, job in enumerate(jobs):
            assert await bed.start(ctx, job) == (number >= DEPTH)
            assert ctx.get(bed.unit.waits)
        got = []
        ctx.set(bed.unit.o.ready, 1)
        for _ in range(3 * DEPTH):
            if ctx.get(bed.unit.o.valid):
                got.append(PACKER.unpack(ctx.get(bed.unit.o.p.descriptor.as_value())))
                assert not ctx.get(bed.unit.o.p.broken)
            await ctx.tick()
        assert got == jobs[:DEPTH]
        assert not ctx.get(bed.unit.waits)
        assert not await bed.start(ctx, jobs[-1])

    bed.play.run(testbench)


def test_a_job_is_known_of_in_every_cycle():
    """``waits`` is high from the start to the taking: nobody may think that the core is idle."""
    bed = Bed()

    async def testbench(ctx):
        for source in ("start", "ring"):
            if source == "start":
                await bed.start(ctx, bed.job(1))
            else:
                ctx.set(bed.unit.ring, RING)
                ctx.set(bed.unit.tail, 1)
            for _ in range(20):
                assert ctx.get(bed.unit.waits), source
                await ctx.tick()
            assert ctx.get(bed.unit.o.valid)
            ctx.set(bed.unit.o.ready, 1)
            await ctx.tick()
            ctx.set(bed.unit.o.ready, 0)
            assert not ctx.get(bed.unit.waits)

    bed.play.run(testbench)


def test_cycles():
    """2 from a start; from the ring 4 and a line each, and what memory takes."""
    bed = Bed()

    async def testbench(ctx):
        await bed.start(ctx, bed.job(1))
        assert 1 + await bed.play.until(ctx, lambda: ctx.get(bed.unit.o.valid)) == 2
        ctx.set(bed.unit.o.ready, 1)
        await ctx.tick()
        ctx.set(bed.unit.tail, 1)
        took = await bed.play.until(ctx, lambda: ctx.get(bed.unit.o.valid))
        assert took == 4 + bed.lines, took

    bed.play.run(testbench)


@pytest.mark.parametrize(("pause", "latency"), [(0.0, 0), (0.5, 12)])
@pytest.mark.parametrize("log2", [0, 1, 3])
@pytest.mark.parametrize("name", ["tiny", "core"])
def test_the_ring_goes_round(name, log2, pause, latency):
    """As far as the host has put jobs, some at a time; one that lies later is not read."""
    bed = Bed(CONFIGS[name], pause=pause, latency=latency)
    jobs = [bed.job(n) for n in range(25)]
    bed.take()

    async def testbench(ctx):
        ctx.set(bed.unit.ring, RING)
        ctx.set(bed.unit.ring_log2, log2)
        done = 0
        while done < len(jobs):
            count = min(bed.play.random.randint(1, 1 << log2), len(jobs) - done)
            for number in range(done, done + count):
                bed.put(number, jobs[number], log2)
            bed.memory.again()
            done += count
            ctx.set(bed.unit.tail, done)
            assert await bed.ends(ctx, done) == jobs[:done]
            assert len(bed.memory.log) == count
        assert not any(beat["broken"] for beat in bed.out)

    bed.play.run(testbench)


@pytest.mark.parametrize("number", range(8))
def test_a_job_that_cannot_be_read_is_broken(number):
    """Whichever of its lines fails; the others are not."""
    bed = Bed(pause=0.3, latency=4)
    jobs = [bed.job(n) for n in range(4)]
    bed.take()

    async def testbench(ctx):
        ctx.set(bed.unit.ring, RING)
        ctx.set(bed.unit.ring_log2, 2)
        for index, job in enumerate(jobs):
            bed.put(index, job, 2)
        bed.memory.again(read=number)
        ctx.set(bed.unit.tail, 4)
        got = await bed.ends(ctx, 4)
        broken = [n == number // bed.lines for n in range(4)]
        assert [bool(beat["broken"]) for beat in bed.out] == broken
        for mine, job, failed in zip(got, jobs, broken, strict=True):
            assert failed or mine == job

    bed.play.run(testbench)


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_starts_between_jobs_of_the_ring(pause):
    """None is lost or doubled, each sort keeps its order, and a full queue holds the ring up."""
    bed = Bed(pause=pause, latency=3, seed=5)
    ring = [bed.job(n) for n in range(40)]
    started = [bed.job(1000 + n) for n in range(60)]
    queued = []
    bed.take()

    async def testbench(ctx):
        ctx.set(bed.unit.ring, RING)
        ctx.set(bed.unit.ring_log2, 6)
        for index, job in enumerate(ring):
            bed.put(index, job, 6)
        ctx.set(bed.unit.tail, len(ring))
        for job in started:
            if not await bed.start(ctx, job):
                queued.append(job)
            await ctx.tick().repeat(bed.play.random.choice([1, 2, 3, 9]))
        got = await bed.ends(ctx, len(ring) + len(queued))
        assert [job for job in got if job["id"] < 1000] == ring
        assert [job for job in got if job["id"] >= 1000] == queued

    bed.play.run(testbench)


def test_the_ring_waits_for_a_full_queue():
    """Starts fill it while a job is read: that one is put when there is room, and not before."""
    bed = Bed(latency=6)
    jobs = [bed.job(n) for n in range(DEPTH)]
    last = bed.job(77)

    async def testbench(ctx):
        ctx.set(bed.unit.ring, RING)
        bed.put(0, last, 0)
        ctx.set(bed.unit.tail, 1)
        await ctx.tick().repeat(3)
        for job in jobs:
            assert not await bed.start(ctx, job)
        await ctx.tick().repeat(30)
        assert ctx.get(bed.unit.full) and ctx.get(bed.unit.waits)
        # And the next one is not even read.
        assert len(bed.memory.log) == 1
        ctx.set(bed.unit.tail, 2)
        await ctx.tick().repeat(30)
        assert len(bed.memory.log) == 1
        got = []
        while ctx.get(bed.unit.waits):
            ready = bed.play.random.random() < 0.3
            ctx.set(bed.unit.o.ready, ready)
            if ready and ctx.get(bed.unit.o.valid):
                got.append(PACKER.unpack(ctx.get(bed.unit.o.p.descriptor.as_value())))
            await ctx.tick()
        assert got == [*jobs, last, last]

    bed.play.run(testbench)


def test_nothing_is_read_for_a_queue_that_is_full():
    bed = Bed()

    async def testbench(ctx):
        ctx.set(bed.unit.ring, RING)
        for number in range(DEPTH):
            assert not await bed.start(ctx, bed.job(number))
        bed.put(0, bed.job(99), 0)
        ctx.set(bed.unit.tail, 1)
        await ctx.tick().repeat(30)
        assert not bed.memory.log
        ctx.set(bed.unit.o.ready, 1)
        await ctx.tick().repeat(30)
        assert len(bed.memory.log) == 1 and not ctx.get(bed.unit.waits)

    bed.play.run(testbench)
