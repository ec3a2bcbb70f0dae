"""What begins before its turn: jobs judged by their head's header, their scores and select jobs."""

import random

import pytest
from play import Play, PlayedMemory

from vrex_hw.config import CONFIGS
from vrex_hw.core.predictor import PREDICTED, Predictor
from vrex_hw.kvmu.layouts import DESCRIPTOR, HEADER, Fault
from vrex_hw.lxe.layouts import Kind
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
SETTINGS = {
    "dimension": 16,
    "n_sinks": 4,
    "n_hyperplanes": 32,
    "resident_room": 8,
    "cluster_cap": 8,
    "join_window": 16,
    "ratio": 0x4CCD,
    "k_min": 4,
    "k_max": 16,
    "text_k_min": 1,
    "text_k_max": 7,
}
SLOT = 128
"""States begin at its multiples."""
HEAD = {"sealed": 9, "opened": 12, "used": 3, "busy": 0, "padding": 0, "tokens": 77, "offloaded": 5}
OPEN = TINY.hcu.open
HEADS = {
    "new": (dict.fromkeys(HEAD, 0), Fault.NONE),
    "some sealed": (HEAD, Fault.NONE),
    "three tokens": ({**HEAD, "sealed": 0, "opened": 0, "tokens": 3}, Fault.NONE),
    "busy": ({**HEAD, "busy": 1}, Fault.STATE_OPEN),
    "more sealed than opened": ({**HEAD, "opened": 8}, Fault.STATE_OPEN),
    "as many as the WTU takes": (
        {**HEAD, "sealed": TINY.wtu.entries, "opened": TINY.wtu.entries},
        Fault.NONE,
    ),
    "more than the WTU takes": (
        {**HEAD, "sealed": TINY.wtu.entries + 1, "opened": TINY.wtu.entries + 1},
        Fault.STATE_OPEN,
    ),
    "as many open as the HCU takes": ({**HEAD, "opened": 9 + OPEN - 10}, Fault.NONE),
    "more than the HCU takes": ({**HEAD, "opened": 9 + OPEN - 9}, Fault.WINDOW_FULL),
    "the last cluster numbers": ({**HEAD, "sealed": 60, "opened": 65530}, Fault.STATE_OPEN),
}


class Bed:
    """The unit, headers in memory, an LXE that scores, a sequencer that takes."""

    def __init__(self, *, pause=0.0, seed=1, **fails):
        self.unit = unit = Predictor(TINY)
        self.play = Play(unit, pause=pause, seed=seed)
        self.memory = PlayedMemory(self.play, unit.read, latency=5)
        self.memory.fails = fails
        self.starts, self.scores = [], []
        self.fault = Fault.NONE
        self.play.beside(self._select)
        self.play.beside(self._score)
        self.fed = self.play.drain(unit.feed)
        self.out = self.play.drain(unit.o)

    def job(self, head, **fields):
        """Put a header into memory and return a job of it, with noise in the other fields."""
        draw = self.play.random
        fields = {"tokens": 10, "group": 4, "fence": 0, **fields}
        state = SLOT * draw.randrange(1, 1 << 20)
        self.memory.lines[state] = Packer(HEADER).pack(head)
        noise = Packer(DESCRIPTOR).unpack(draw.getrandbits(DESCRIPTOR.size))
        return {**noise, "padding": 0, "state": state, **fields}

    def offer(self, jobs):
        """Send jobs, from the first cycle on."""
        self.play.feed(self.unit.job, [{"descriptor": job, "broken": 0} for job in jobs])

    async def set(self, ctx):
        """Give the unit its settings, and nothing to wait for."""
        for name, value in SETTINGS.items():
            ctx.set(self.unit.settings[name], value)
        ctx.set(self.unit.quiet, 1)

    async def _select(self, ctx):
        """Be full at times; note what starts."""
        select = self.unit.select
        while True:
            ctx.set(select.full, self.play.pauses())
            *_, start, full, rows, ratio, k_min, k_max = await ctx.tick().sample(
                select.start,
                select.full,
                select.entry.job.rows,
                *(select.entry.parameters[n] for n in ("ratio", "k_min", "k_max")),
            )
            if start:
                assert not full, "started while the queue was full"
                self.starts.append((rows, ratio, k_min, k_max))

    async def _score(self, ctx):
        """Report scores some cycles after their feed job has been taken."""
        reported = 0
        while True:
            for _ in range(self.play.random.randrange(1, 9)):
                await ctx.tick()
            if len(self.fed) > reported:
                ctx.set(self.unit.scored.fault, self.fault)
                ctx.set(self.unit.scored.valid, 1)
                await ctx.tick()
                ctx.set(self.unit.scored.valid, 0)
                ctx.set(self.unit.scored.fault, self.play.random.getrandbits(4))
                reported += 1


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_a_header_decides_what_begins(pause):
    """Every header, in a random order, twice: faults, select jobs, scores, and what is given on."""
    bed = Bed(pause=pause)
    names = [*HEADS, *HEADS]
    random.Random(2).shuffle(names)
    jobs = [bed.job(HEADS[name][0]) for name in names]
    bed.offer(jobs)

    async def testbench(ctx):
        await bed.set(ctx)
        await bed.play.until(ctx, lambda: len(bed.out) == len(jobs))
        assert not ctx.get(bed.unit.busy)

    bed.play.run(testbench)
    starts, fed = iter(bed.starts), iter(bed.fed)
    for name, job, got in zip(names, jobs, bed.out, strict=True):
        head, fault = HEADS[name]
        assert got["job"] == {"descriptor": job, "broken": 0}
        assert (got["fault"], got["started"]) == (fault, fault == Fault.NONE), name
        if fault != Fault.NONE:
            continue
        here = min(head["tokens"], 4)
        assert (got["sinks"], got["skip"]) == (here, 4 - here), name
        chunks = -(-SETTINGS["dimension"] // TINY.lxe.side)
        assert got["out_lines"] == (9 * job["q_stride"] + 4 * chunks) % (1 << 32)
        rows = 40 if head["sealed"] else 0
        floor_and_cap = (1, 7) if job["text"] else (4, 16)
        assert next(starts) == (rows, SETTINGS["ratio"], *floor_and_cap), name
        if head["sealed"]:
            told = next(fed)
            assert (told["kind"], told["columns"]) == (Kind.SCORE, head["sealed"])
            assert (told["address"], told["stride"]) == (job["q_score"], job["q_stride"])
            assert all(told[n] == job[n] for n in ("tokens", "group", "state"))
    assert next(starts, None) is None and next(fed, None) is None
    begun = [job["text"] for job, got in zip(jobs, bed.out, strict=True) if got["started"]]
    assert {0, 1} == {*begun}, "jobs of both stages begin"


def test_a_frame_shorter_than_the_sinks_is_all_of_them():
    bed = Bed()
    bed.offer([bed.job(HEADS["new"][0], tokens=3)])

    async def testbench(ctx):
        await bed.set(ctx)
        await bed.play.until(ctx, lambda: bed.out)

    bed.play.run(testbench)
    assert (bed.out[0]["sinks"], bed.out[0]["skip"]) == (0, 3)


@pytest.mark.parametrize("fault", [Fault.BAD_JOB, Fault.MEMORY_READ])
def test_what_cannot_begin_begins_nothing(fault):
    """A job without tokens, a header that cannot be read; the job after it is right."""
    bed = Bed(read=0) if fault == Fault.MEMORY_READ else Bed()
    first = {} if fault == Fault.MEMORY_READ else {"tokens": 0}
    bed.offer([bed.job(HEAD, **first), bed.job(HEAD)])

    async def testbench(ctx):
        await bed.set(ctx)
        await bed.play.until(ctx, lambda: len(bed.out) == 2)

    bed.play.run(testbench)
    assert [(got["fault"], got["started"]) for got in bed.out] == [(fault, 0), (Fault.NONE, 1)]
    assert len(bed.starts) == len(bed.fed) == 1


def test_scores_that_could_not_be_read_are_told():
    bed = Bed()
    bed.fault = Fault.MEMORY_READ
    bed.offer([bed.job(HEAD)])

    async def testbench(ctx):
        await bed.set(ctx)
        await bed.play.until(ctx, lambda: bed.out)

    bed.play.run(testbench)
    assert (bed.out[0]["fault"], bed.out[0]["started"]) == (Fault.MEMORY_READ, 1)


@pytest.mark.parametrize("fence", [0, 1])
@pytest.mark.parametrize("same", [0, 1])
@pytest.mark.parametrize("quiet", [0, 1])
def test_a_job_waits_for_its_head_and_for_its_fence(fence, same, quiet):
    bed = Bed()
    job = bed.job(HEAD, fence=fence)
    bed.offer([job])
    waits = same or (fence and not quiet)

    async def testbench(ctx):
        await bed.set(ctx)
        ctx.set(bed.unit.same, same)
        ctx.set(bed.unit.quiet, quiet)
        await ctx.tick().repeat(20)
        assert ctx.get(bed.unit.asked) == job["state"] or not waits
        assert bool(bed.memory.log) != bool(waits)
        ctx.set(bed.unit.same, 0)
        ctx.set(bed.unit.quiet, 1)
        await bed.play.until(ctx, lambda: bed.out)

    bed.play.run(testbench)


def test_what_is_given_has_every_field():
    """A field more would be one that no test here looks at."""
    assert set(PREDICTED.members) == {"job", "sinks", "skip", "out_lines", "started", "fault"}
