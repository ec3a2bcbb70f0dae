"""The self-test in simulation: it passes on the good design, and a wrong word makes it fail."""

import copy

import pytest
from amaranth.sim import Simulator

from vrex_hw.config import CONFIGS, Config, HCUConfig, WTUConfig
from vrex_synth import vectors
from vrex_synth.harness import CHECKERS, Harness
from vrex_synth.selftest import SelfTest
from vrex_synth.sequencer import Kind, Operation

TINY = CONFIGS["tiny"]
VECTORS = vectors.build(TINY)
MOST_CYCLES = 5000


def run(changed, config=TINY):
    """Return passed, the checker that failed or None, and the index of the wrong word."""
    dut, seen = Harness(config, changed), []

    async def process(ctx):
        for _ in range(MOST_CYCLES):
            await ctx.tick()
            if ctx.get(dut.passed) or ctx.get(dut.failed):
                break
        failed = CHECKERS[ctx.get(dut.failed_checker)] if ctx.get(dut.failed) else None
        seen.extend([ctx.get(dut.passed), failed, ctx.get(dut.mismatch).index])

    simulate(dut, process)
    return seen


def simulate(dut, process):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()


def test_it_passes_on_the_good_design():
    assert run(VECTORS) == [1, None, 0]


def test_it_fits_the_smallest_sizes():
    smallest = Config(
        hcu=HCUConfig(hyperplanes=9, width=4, accumulators=2, joinable=4, open=4),
        wtu=WTUConfig(lanes=1, entries=2, weight_bits=3, count_bits=2, candidates=2),
    )
    assert run(vectors.build(smallest), smallest) == [1, None, 0]


@pytest.mark.parametrize(
    "name, index, bit",
    [
        ("m_axis_assign", 30, 0),
        ("m_axis_row", 1, 40),
        ("m_axis_row", 3, 0),
        ("m_axis_selected", -1, 4),
    ],
)
def test_one_wrong_bit_in_an_expected_word_fails_it_there(name, index, bit):
    changed = copy.deepcopy(VECTORS)
    changed.expected[name][index] ^= 1 << bit
    assert run(changed) == [0, name, index % len(changed.expected[name])]


def test_a_wrong_register_fails_it():
    changed = copy.deepcopy(VECTORS)
    last = changed.program[-1]
    changed.program[-1] = Operation(Kind.CHECK, last.address, last.value ^ 1)
    assert run(changed) == [0, "registers", len(changed.program) - 1]


def test_a_wrong_bit_in_the_stream_fails_it():
    changed = copy.deepcopy(VECTORS)
    changed.played["s_axis_hash"][2] ^= 0xFFFF
    passed, failed, _ = run(changed)
    assert (passed, failed) == (0, "m_axis_assign")


def test_the_vectors_cover_what_they_say():
    opened = [word >> 16 & 1 for word in VECTORS.expected["m_axis_assign"]]
    assert 0.2 < sum(opened) / len(opened) < 0.8, "some tokens join and some open clusters"
    sealed = [word & 0xFFFF for word in VECTORS.expected["m_axis_assign"] if word >> 32]
    assert sealed[0] == 0 and 0 < sealed[1] < sealed[2], "clusters are sealed"
    assert VECTORS.played["s_axis_table"] and len(VECTORS.played["s_axis_row"]) > 3 * 16
    assert vectors.build(TINY) == VECTORS, "the same seed gives the same stream"


def test_the_top_tells_the_verdict_times_out_and_runs_again_on_the_button():
    stuck = copy.deepcopy(VECTORS)
    stuck.played["s_axis_row"].pop()
    dut = SelfTest(TINY, stuck, 1e6, timeout_cycles=1500, pause_cycles=50, baud=5e5)
    states = []

    async def process(ctx):
        for press in (False, True):
            ctx.set(dut.rerun, press)
            await ctx.tick().repeat(5)
            ctx.set(dut.rerun, 0)
            await ctx.tick().repeat(20)
            for wait in (1000, 600):
                await ctx.tick().repeat(wait)
                states.append(tuple(ctx.get(s) for s in (dut.running, dut.passed, dut.failed)))
        text = await receive(ctx, dut.tx, 100)
        assert "V-Rex self-test tiny: FAIL, timed out\r\n" in text

    simulate(dut, process)
    assert states == [(1, 0, 0), (0, 0, 1)] * 2


async def receive(ctx, tx, count):
    """Return ``count`` characters from a line of two cycles a bit."""
    text = ""
    while len(text) < count:
        while ctx.get(tx):
            await ctx.tick()
        code = 0
        for bit in range(9):
            await ctx.tick().repeat(2)
            code |= ctx.get(tx) << bit
        text += chr(code & 0xFF)
    return text
