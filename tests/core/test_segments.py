"""The list of segments: both banks, the longest list, written while the other is read."""

import dataclasses

from amaranth.sim import Simulator

from vrex_hw.config import CONFIGS
from vrex_hw.core.segments import Segments

TINY = CONFIGS["tiny"]
SMALL = dataclasses.replace(
    TINY,
    wtu=dataclasses.replace(TINY.wtu, entries=8, lanes=4),
    kvmu=dataclasses.replace(TINY.kvmu, window_slots=6 + 2),
)


def segment(number: int, count: int) -> dict[str, int]:
    return {"area": number % 5, "slot": 31 * number, "count": count}


def test_lists_of_both_banks() -> None:
    """The longest list there can be, a short one beside it, empty segments left out."""
    unit = Segments(SMALL)
    longest = SMALL.wtu.entries + SMALL.kvmu.window_slots + 2

    async def write(ctx, bank, beats):
        ctx.set(unit.bank, bank)
        ctx.set(unit.clear, 1)
        await ctx.tick()
        ctx.set(unit.clear, 0)
        for beat in beats:
            ctx.set(unit.segment.p, beat)
            ctx.set(unit.segment.valid, 1)
            assert ctx.get(unit.segment.ready)
            await ctx.tick()
        ctx.set(unit.segment.valid, 0)

    async def check(ctx, bank, beats):
        kept = [beat for beat in beats if beat["count"]]
        assert ctx.get(unit.entries[bank]) == len(kept)
        assert ctx.get(unit.tokens[bank]) == sum(beat["count"] for beat in kept)
        for index, beat in enumerate(kept):
            ctx.set(unit.port.bank, bank)
            ctx.set(unit.port.index, index)
            ctx.set(unit.port.read, 1)
            await ctx.tick()
            ctx.set(unit.port.read, 0)
            ctx.set(unit.port.index, 0)
            assert {name: ctx.get(unit.port.data[name]) for name in beat} == beat
            await ctx.tick()
            assert ctx.get(unit.port.data["slot"]) == beat["slot"]

    async def bench(ctx):
        full = [segment(n, 65535 if n % 2 else 1) for n in range(longest)]
        short = [segment(n, n % 3) for n in range(7)]
        await write(ctx, 1, full)
        await write(ctx, 0, short)
        await check(ctx, 1, full)
        await check(ctx, 0, short)
        await write(ctx, 1, [])
        await check(ctx, 1, [])
        await check(ctx, 0, short)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
