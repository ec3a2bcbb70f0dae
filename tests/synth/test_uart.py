"""The serial line, read back bit by bit."""

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from vrex_synth.uart import Reporter, Transmitter, digits, encode

DIVISOR = 3


class Line(wiring.Component):
    """A reporter behind a transmitter."""

    tx: wiring.Out(1)

    def __init__(self, texts, value_bits):
        super().__init__()
        self.reporter = Reporter(texts, value_bits, pause=100)

    def elaborate(self, platform):
        m = Module()
        m.submodules.reporter = self.reporter
        m.submodules.transmitter = transmitter = Transmitter(DIVISOR)
        wiring.connect(m, self.reporter.o, transmitter.i)
        m.d.comb += self.tx.eq(transmitter.tx)
        return m


async def receive(ctx, tx, count):
    """Return ``count`` characters, sampled in the middle of each bit; check the stop bits."""
    got = []
    while len(got) < count:
        while ctx.get(tx):
            await ctx.tick()
        await ctx.tick().repeat(DIVISOR // 2)
        bits = []
        for _ in range(9):
            await ctx.tick().repeat(DIVISOR)
            bits.append(ctx.get(tx))
        assert bits[8] == 1, "no stop bit"
        got.append(sum(bit << n for n, bit in enumerate(bits[:8])))
    return bytes(got).decode("ascii")


def run(dut, process):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run_until(0.05)


def test_texts_with_digits_are_sent_again_and_again():
    dut = Line(["idle\n", f"x={digits(0, 4)}/{digits(4, 1)}!\n"], 20)
    seen = []

    async def process(ctx):
        ctx.set(dut.reporter.message, 1)
        ctx.set(dut.reporter.value, 0x7C0FE)
        seen.append(await receive(ctx, dut.tx, 10))
        ctx.set(dut.reporter.message, 0)
        seen.append(await receive(ctx, dut.tx, 10))

    run(dut, process)
    assert seen == ["x=c0fe/7!\n", "idle\nidle\n"]


def test_a_text_that_does_not_fit_is_refused(refuses):
    with pytest.raises(ValueError, match="128 characters"):
        encode("x" * 128)
    refuses(lambda: Transmitter(1), "divisor is 1")
