"""The RAM that is written in Verilog, and its twin in Amaranth's simulator."""

import random
from importlib import resources

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from vrex_hw.hierarchy import convert
from vrex_hw.models.ram import ram
from vrex_sim import runner

PORTS = ("write", "write_address", "write_data", "read", "read_address")


class Rams(wiring.Component):
    """A RAM with ports, and another one that nobody uses."""

    def __init__(self, width, depth, grain):
        self.sizes = width, depth, grain
        address = (depth - 1).bit_length()
        bits = (width // grain, address, width, 1, address)
        super().__init__(
            {
                **{name: In(n) for name, n in zip(PORTS, bits, strict=True)},
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        unit = ram(m, platform, "ram", *self.sizes)
        ram(m, platform, "other", 8, 2)
        m.d.comb += [getattr(unit, name).eq(getattr(self, name)) for name in PORTS]
        m.d.comb += self.read_data.eq(unit.read_data)
        return m


def traffic(width, depth, grain, cycles=2000):
    """Return the inputs of every cycle, and what is read one cycle later (None: anything)."""
    rng = random.Random(width + depth)
    words = [[None] * (width // grain) for _ in range(depth)]
    inputs, outputs, kept = [], [], None
    for _ in range(cycles):
        write = rng.choice([0, 0, (1 << width // grain) - 1, rng.getrandbits(width // grain)])
        where = rng.randrange(depth)
        read_at = rng.choice([where, rng.randrange(depth)])
        value, read = rng.getrandbits(width), rng.random() < 0.7
        if read:
            known = None not in words[read_at]
            kept = sum(g << grain * k for k, g in enumerate(words[read_at])) if known else None
        for k in range(width // grain):
            if write >> k & 1:
                words[where][k] = value >> grain * k & (1 << grain) - 1
        inputs.append((write, where, value, int(read), read_at))
        outputs.append(kept)
    assert sum(output is not None for output in outputs) > cycles / 2
    return inputs, outputs


@pytest.mark.parametrize(("width", "depth", "grain"), [(32, 16, 8), (48, 5, 16), (8, 2, 8)])
def test_reads_what_was_written(width, depth, grain):
    inputs, outputs = traffic(width, depth, grain)
    text = convert(Rams(width, depth, grain), "rams")
    assert text.count("module vrex_ram") == 1
    got = runner.run(
        text,
        "rams",
        "vrex_sim.benches.plain",
        {"inputs": [list(PORTS), inputs], "output": "read_data"},
    )["out"]
    assert all(e is None or e == g for e, g in zip(outputs, got, strict=True))

    unit = Rams(width, depth, grain)

    async def bench(ctx):
        for row, expected in zip(inputs, outputs, strict=True):
            for name, value in zip(PORTS, row, strict=True):
                ctx.set(getattr(unit, name), value)
            await ctx.tick()
            assert expected in (None, ctx.get(unit.read_data))

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_large_one_has_no_large_text():
    assert len(convert(Rams(1024, 1 << 20, 8), "rams")) < 20_000


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="a RAM of 1 words of 8 bits in grains of 8 cannot be"):
        ram(None, None, "ram", 8, 1)
    with pytest.raises(ValueError, match="in grains of 8"):
        ram(None, None, "ram", 12, 4)


def test_the_text_is_packaged():
    assert "module vrex_ram" in (resources.files("vrex_hw.models") / "ram.v").read_text()
