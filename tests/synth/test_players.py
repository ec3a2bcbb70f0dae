"""The self-test's own parts: they must find every wrong word, or the self-test proves nothing."""

import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from vrex_hw.config import WTUConfig
from vrex_hw.kvpu.layouts import selection_layout
from vrex_synth.players import Checker, Digest, Player, beat_layout, digest

WORDS = [0x11, 0x22, 0x33, 0x44]


class Loop(wiring.Component):
    """A player into a checker, both stalled from outside."""

    play: In(1)
    take: In(1)

    def __init__(self, played, expected):
        super().__init__()
        self.player = Player(8, played)
        self.checker = Checker(8, expected)

    def elaborate(self, platform):
        m = Module()
        m.submodules.player = self.player
        m.submodules.checker = self.checker
        wiring.connect(m, self.player.o, self.checker.i)
        m.d.comb += [self.player.go.eq(self.play), self.checker.go.eq(self.take)]
        return m


def verdict(played, expected, seed=1):
    """Return (done, failed, mismatch) after ample time with random stalls."""
    dut, rng, seen = Loop(played, expected), random.Random(seed), []

    async def process(ctx):
        for _ in range(100):
            ctx.set(dut.play, rng.random() < 0.5)
            ctx.set(dut.take, rng.random() < 0.5)
            await ctx.tick()
        checker = dut.checker
        wrong = ctx.get(checker.mismatch)
        seen.append(ctx.get(checker.done))
        seen.append(ctx.get(checker.failed))
        seen.append((wrong.index, wrong.expected, wrong.got))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
    return tuple(seen)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_played_is_what_is_checked(seed):
    assert verdict(WORDS, WORDS, seed) == (1, 0, (0, 0, 0))
    assert verdict([], [], seed) == (1, 0, (0, 0, 0))


@pytest.mark.parametrize("index", range(4))
def test_a_wrong_word_is_named(index):
    wrong = list(WORDS)
    wrong[index] ^= 0x80
    assert verdict(WORDS, wrong) == (0, 1, (index, wrong[index], WORDS[index]))


def test_a_missing_word_is_not_done_and_an_extra_one_fails():
    assert verdict(WORDS[:-1], WORDS)[:2] == (0, 0)
    assert verdict(WORDS, WORDS[:-1]) == (0, 1, (3, 0, 0x44))


CONFIG = WTUConfig(lanes=4, entries=64)


def row_beats(clusters, rng):
    """Return the beats of a row's selection, its clusters spread at random over the beats."""
    beats = []
    for number in rng.sample(clusters, len(clusters)):
        lane, word = number % CONFIG.lanes, number // CONFIG.lanes
        if not beats or "hit" in beats[-1][lane] or rng.random() < 0.3:
            beats.append([{} for _ in range(CONFIG.lanes)])
        beats[-1][lane] = {"word": word, "hit": 1}
    return beats


def test_a_digest_does_not_depend_on_the_order_and_sees_a_cluster_missing():
    rng = random.Random(3)
    layout = beat_layout(selection_layout(CONFIG))
    rows = [sorted(rng.sample(range(64), n)) for n in (0, 1, 20, 64)]
    dut, got = Digest(CONFIG), []

    async def feed(ctx):
        for row in rows:
            for lanes in row_beats(row, rng):
                await send(ctx, {"tdata": {"lanes": lanes}})
            trailer = [{"word": len(row)}] + [{}] * (CONFIG.lanes - 1)
            await send(ctx, {"tdata": {"lanes": trailer}, "tlast": 1})

    async def send(ctx, fields):
        ctx.set(dut.i.payload, layout.const(fields))
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def collect(ctx):
        for _ in rows:
            ctx.set(dut.o.ready, 0)
            await ctx.tick().repeat(rng.randrange(1, 5))
            ctx.set(dut.o.ready, 1)
            (word,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
            got.append(word)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(collect)
    simulator.run()
    assert got == [digest(len(row), row, CONFIG) for row in rows]
    assert got[2] != digest(len(rows[2]), rows[2][1:], CONFIG)
