"""How jobs end: in their order, when their attention has, with what they have to tell."""

import pytest
from play import Play, PlayedMemory

from vrex_hw.config import CONFIGS
from vrex_hw.core.statuses import DEPTH, Statuses
from vrex_hw.kvmu.layouts import STATUS, Fault
from vrex_sim.packer import Packer

TINY = CONFIGS["tiny"]
RING = 0x1230


class Bed:
    """The unit, memory, and ends that the sequencer and the writer give."""

    def __init__(self, *, pause=0.0, latency=0, seed=1, log2=3):
        self.unit = unit = Statuses(TINY)
        self.play = play = Play(unit, pause=pause, seed=seed)
        self.memory = PlayedMemory(play, write=unit.write, latency=latency)
        self.ends, self.attends, self.expected, self.log2 = [], [], [], log2
        play.feed(unit.ended, _endless(self.ends))
        play.feed(unit.attended, _endless(self.attends))
        self.told, self.pulses = [], {"done": 0, "failed": 0, "unwritten": 0}
        self.status = play.drain(unit.status)
        play.beside(self._watch)

    async def _watch(self, ctx):
        names, self.cycle = list(self.pulses), 0
        while True:
            *_, failed, done, unwritten = await ctx.tick().sample(
                self.unit.failed, self.unit.done, self.unit.unwritten
            )
            self.cycle += 1
            assert done or not failed
            if done:
                told, last = self.expected[self.pulses["done"]], self.unit.last
                mine = {"id": ctx.get(last.id), "fault": ctx.get(last.fault)}
                assert mine == {name: told[name] for name in mine}
            for name, pulse in zip(names, (done, failed, unwritten), strict=True):
                self.pulses[name] += pulse

    def end(self, number, fault=Fault.NONE, attends=None):
        """End a job; ``attends``: the fault of its attention."""
        draw = self.play.random.getrandbits
        told = {"id": draw(16), "fetched": draw(32), "chosen": draw(16), "hits": draw(16)}
        self.ends.append({**told, "fault": fault, "attends": int(attends is not None)})
        if attends is not None:
            self.attends.append({"fault": attends})
        self.expected.append({**told, "fault": fault or attends or Fault.NONE})

    async def settle(self, ctx, enable=1):
        ctx.set(self.unit.statuses, RING)
        ctx.set(self.unit.ring_log2, self.log2)
        ctx.set(self.unit.enable, enable)

    async def check(self, ctx):
        """Wait for all that was begun; compare what was told of it, on every way."""
        await self.play.until(ctx, lambda: len(self.status) == len(self.expected))
        await ctx.tick().repeat(2)
        assert not ctx.get(self.unit.busy)
        found = [{n: v for n, v in s.items() if n not in ("cycle", "padding")} for s in self.status]
        assert found == self.expected
        cycles = [status["cycle"] for status in self.status]
        assert cycles == sorted({*cycles})
        assert ctx.get(self.unit.count) == len(self.expected) == self.pulses["done"]
        assert self.pulses["failed"] == sum(bool(e["fault"]) for e in self.expected)
        last = self.expected[-1]
        assert ctx.get(self.unit.last.id) == last["id"]
        assert ctx.get(self.unit.last.fault) == last["fault"]


def _endless(queue):
    """Yield what a list gets, and None while it has nothing."""
    while True:
        yield queue.pop(0) if queue else None


PACES = [(0.0, 0), (0.5, 11)]


@pytest.mark.parametrize(("pause", "latency"), PACES)
@pytest.mark.parametrize("log2", [0, 2])
def test_ends_of_every_kind(log2, pause, latency):
    """With and without attention, with faults of either; the ring goes round."""
    bed = Bed(pause=pause, latency=latency, log2=log2)

    async def testbench(ctx):
        await bed.settle(ctx)
        kinds = [
            (fault, attends)
            for fault in (Fault.NONE, Fault.LINK_LATE, Fault.OUT_OF_BOUNDS)
            for attends in (None, Fault.NONE, Fault.MEMORY_READ)
        ]
        for number, (fault, attends) in enumerate(kinds * 2):
            bed.end(number, fault, attends)
        await bed.check(ctx)
        size = 1 << log2
        for number, status in enumerate(bed.status):
            if number + size >= len(bed.status):
                line = bed.memory.lines[RING + number % size]
                assert Packer(STATUS).unpack(line) == status
        places = [number - RING for _, number in bed.memory.log]
        assert places == [n % size for n in range(len(bed.status))]
        assert bed.pulses["unwritten"] == 0

    bed.play.run(testbench)


def test_a_status_is_told_when_it_can_be_read():
    """Not before memory has answered."""
    bed = Bed(latency=50)

    async def testbench(ctx):
        await bed.settle(ctx)
        for number in range(3):
            bed.end(number)
            await bed.play.until(ctx, lambda n=number: len(bed.status) == n + 1)
            assert Packer(STATUS).unpack(bed.memory.lines[RING + number]) == bed.status[-1]
            # The cycle is that of the end, since reset.
            assert 50 < bed.cycle - bed.status[-1]["cycle"] < 60
        await bed.check(ctx)

    bed.play.run(testbench)


def test_a_job_that_attends_is_waited_for():
    """It ends when its attention has, and so do those behind it; ``busy`` all the time."""
    bed = Bed()

    async def testbench(ctx):
        await bed.settle(ctx)
        bed.end(0, attends=Fault.NONE)
        bed.end(1)
        late, bed.attends[:] = bed.attends[:], []
        await ctx.tick().repeat(40)
        assert not bed.status and ctx.get(bed.unit.busy) and not bed.memory.log
        bed.attends += late
        await bed.check(ctx)

    bed.play.run(testbench)


def test_an_attention_is_not_taken_for_a_job_that_has_none():
    """A job without one ends by itself; the attention of the one behind it stays for that one."""
    bed = Bed()

    async def testbench(ctx):
        await bed.settle(ctx)
        bed.attends.append({"fault": Fault.MEMORY_WRITE})
        await ctx.tick().repeat(5)
        bed.end(0)
        await bed.play.until(ctx, lambda: len(bed.status) == 1)
        assert bed.status[0]["fault"] == Fault.NONE
        bed.ends.append({"id": 9, "attends": 1})
        bed.expected.append({"id": 9, "fault": Fault.MEMORY_WRITE})
        await bed.play.until(ctx, lambda: len(bed.status) == 2)
        assert bed.status[1]["fault"] == Fault.MEMORY_WRITE

    bed.play.run(testbench)


@pytest.mark.parametrize("kind", ["write", "outside"])
@pytest.mark.parametrize(("pause", "latency"), PACES)
def test_a_status_that_cannot_be_written(kind, pause, latency):
    """It is told, once; the status leaves all the same, and the next is written."""
    bed = Bed(pause=pause, latency=latency)

    async def testbench(ctx):
        await bed.settle(ctx)
        bed.memory.again(**{kind: 1})
        for number in range(4):
            bed.end(number)
        await bed.check(ctx)
        assert bed.pulses["unwritten"] == 1
        assert {n - RING for n in bed.memory.lines} == {0, 2, 3}

    bed.play.run(testbench)


def test_without_a_ring_nothing_is_written():
    bed = Bed(pause=0.3)

    async def testbench(ctx):
        await bed.settle(ctx, enable=0)
        for number in range(5):
            bed.end(number, attends=Fault.NONE if number % 2 else None)
        await bed.check(ctx)
        assert not bed.memory.log

    bed.play.run(testbench)


def test_an_end_is_known_of_in_every_cycle():
    """``busy`` is high from the cycle after an end is taken until it is told."""
    bed = Bed()
    unit = bed.unit

    async def testbench(ctx):
        await bed.settle(ctx)
        bed.expected.append({"id": 0, "fault": Fault.NONE})
        ctx.set(unit.ended.valid, 1)
        await ctx.tick()
        ctx.set(unit.ended.valid, 0)
        while not bed.status:
            assert ctx.get(unit.busy)
            await ctx.tick()
        await ctx.tick()
        assert not ctx.get(unit.busy)

    # The end is driven by hand.
    bed.ends = None
    bed.play.run(testbench)


def test_ends_wait_for_room():
    """Where the host takes no status, as many ends wait as there is room for."""
    unit = Statuses(TINY)
    play = Play(unit)

    async def testbench(ctx):
        ctx.set(unit.ended.valid, 1)
        taken = 0
        for _ in range(40):
            taken += ctx.get(unit.ended.ready)
            ctx.set(unit.ended.p.id, taken)
            await ctx.tick()
        assert taken == DEPTH + 1
        ctx.set(unit.ended.valid, 0)
        ctx.set(unit.status.ready, 1)
        ids = []
        while ctx.get(unit.busy):
            if ctx.get(unit.status.valid):
                ids.append(ctx.get(unit.status.p.id))
            await ctx.tick()
        assert len(ids) == taken and ids == sorted(set(ids))
        assert ctx.get(unit.count) == taken

    play.run(testbench)
