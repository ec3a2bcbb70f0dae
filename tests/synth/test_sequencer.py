"""The program of register accesses, against the KVPU's own register block."""

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from vrex_hw.config import CONFIGS
from vrex_hw.registers import KVPU
from vrex_hw.registers.block import RegisterBlock
from vrex_synth.sequencer import WAIT, Kind, Operation, Sequencer, check, write

TINY = CONFIGS["tiny"]


class Bench(wiring.Component):
    """A sequencer on a register block."""

    proceed: In(1)

    def __init__(self, program):
        super().__init__()
        self.sequencer = Sequencer(program)
        self.block = RegisterBlock(KVPU, TINY)

    def elaborate(self, platform):
        m = Module()
        m.submodules.sequencer = self.sequencer
        m.submodules.block = self.block
        wiring.connect(m, self.sequencer.bus, self.block.bus)
        m.d.comb += self.sequencer.proceed.eq(self.proceed)
        return m


def run(program, proceed_at=0):
    """Return done, failed, the mismatch's (index, expected, got) and k_min after 400 cycles."""
    dut, seen = Bench(program), []

    async def process(ctx):
        for cycle in range(400):
            ctx.set(dut.proceed, cycle >= proceed_at)
            await ctx.tick()
        sequencer, wrong = dut.sequencer, ctx.get(dut.sequencer.mismatch)
        seen.extend([ctx.get(sequencer.done), ctx.get(sequencer.failed)])
        seen.append((wrong.index, wrong.expected, wrong.got))
        seen.append(ctx.get(dut.block.settings.k_min))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
    return seen


def test_writes_arrive_and_right_checks_pass():
    program = [
        check("fingerprint", TINY.fingerprint),
        write("k_min", 9),
        check("k_min", 9),
        WAIT,
        write("k_min", 11),
        check("k_min", 11),
    ]
    done, failed, _, k_min = run(program, proceed_at=50)
    assert (done, failed, k_min) == (1, 0, 11)
    done, failed, _, k_min = run(program, proceed_at=1000)
    assert (done, failed, k_min) == (0, 0, 9)


def test_a_wrong_value_stops_the_program_and_is_named():
    program = [write("k_min", 9), check("k_min", 10), write("k_min", 12)]
    assert run(program) == [0, 1, (1, 10, 9), 9]


@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.CHECK])
def test_an_address_without_a_register_fails(kind):
    done, failed, (index, _, _), _ = run([Operation(kind, 0xFFC, 0)])
    assert (done, failed, index) == (0, 1, 0)
