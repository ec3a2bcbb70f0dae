"""The definition that the WTU is proved against is the plain walk down a sorted list."""

import random

from amaranth.sim import Simulator

from vrex_formal.wicsum import SortedDefinition


def walk(row, ratio, k_min, k_max):
    """Select as docs/algorithm.md words it."""
    order = sorted(
        (i for i, entry in enumerate(row) if entry["valid"]), key=lambda i: (-row[i]["weight"], i)
    )
    threshold = ratio * sum(row[i]["weight"] * row[i]["count"] for i in order)
    hits = mass = 0
    for t, i in enumerate(order, 1):
        hits |= 1 << i
        mass += row[i]["weight"] * row[i]["count"]
        if t >= k_max or (t >= k_min and mass << 16 > threshold):
            break
    return hits


def test_sorted_definition_is_the_walk():
    unit = SortedDefinition(clusters=5, weight_bits=3, count_bits=2)
    rng = random.Random(1)
    sizes = set()

    async def bench(ctx):
        for _ in range(2000):
            weights = [0, 5, 7, rng.randrange(8)]
            present = rng.choice([0, 0.8, 1])
            row = [
                {
                    "weight": rng.choice(weights),
                    "count": rng.randrange(4),
                    "valid": int(rng.random() < present),
                }
                for _ in range(5)
            ]
            setting = {
                "ratio": rng.choice([0, 1 << 16, rng.randrange(1 << 16)]),
                "k_min": rng.randrange(7),
                "k_max": rng.choice([*range(7), 0xFFFF]),
            }
            ctx.set(unit.row, row)
            for name, value in setting.items():
                ctx.set(getattr(unit, name), value)
            await ctx.delay(1e-9)
            got = ctx.get(unit.hits)
            assert got == walk(row, **setting), (row, setting)
            sizes.add(got.bit_count())

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    simulator.run()
    assert sizes == set(range(6))
