"""A small design through the whole flow, and designs that do not fit."""

import dataclasses

import pytest
from amaranth import Module, Signal
from amaranth.back import verilog
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from vrex import UserError
from vrex_hw.config import CONFIGS
from vrex_synth import ecp5

PINS = "\n".join(
    f'LOCATE COMP "{port}" SITE "{ball}";'
    for port, ball in (("clk", "G2"), ("rst", "R1"), ("serial_in", "M1"), ("serial_out", "L4"))
)
CLOCK_MHZ = 25.0


class Small(wiring.Component):
    """A block RAM, a multiplier and some logic behind two pins."""

    serial_in: In(1)
    serial_out: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=18, depth=512, init=[])
        write, read = words.write_port(), words.read_port()
        word, product = Signal(18), Signal(36)
        m.d.sync += [word.eq((word << 1) | self.serial_in), product.eq(word * read.data)]
        m.d.comb += [write.addr.eq(word), read.addr.eq(word[9:]), write.en.eq(word[0])]
        m.d.comb += write.data.eq(word)
        m.d.sync += self.serial_out.eq(product.xor())
        return m


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    source = verilog.convert(Small(), name="top")
    return ecp5.synthesise(source, "top", tmp_path_factory.mktemp("small"))


def test_a_small_design_becomes_a_bitstream(netlist, tmp_path):
    assert (netlist.multipliers, netlist.block_rams) == (1, 1)
    steps = []
    built = ecp5.build(
        netlist, ecp5.LFE5U_85F, PINS, CLOCK_MHZ, tmp_path / "x.bit", 2, steps.append
    )
    assert built.bitstream.read_bytes().startswith(b"\xff\x00Part: LFE5U-85F")
    assert len(steps) == len(built.runs) == 2
    speeds = sorted(run.fmax_mhz for run in built.runs)
    assert built.typical.fmax_mhz == speeds[0] > CLOCK_MHZ
    assert built.best.fmax_mhz == speeds[1]
    listed = {f["name"]: f["value"] for f in ecp5.figures_of(built, CONFIGS["ulx3s"])}
    assert listed["fpga.multipliers"] == listed["fpga.block_rams"] == 1
    assert listed["fpga.luts"] >= netlist.luts > 0
    assert listed["fpga.requested_mhz"] == CLOCK_MHZ
    assert " to " in built.typical.critical_path


@pytest.mark.parametrize(
    "field, cell, needs",
    [
        ("luts", "LUT4", "83,641 LUT4"),
        ("multipliers", "MULT18X18D", "157 multipliers"),
        ("block_rams", "DP16KD", "209 block RAMs"),
    ],
)
def test_a_design_that_cannot_fit_is_refused_before_it_is_routed(netlist, field, cell, needs):
    most = getattr(ecp5.LFE5U_85F, field)
    big = dataclasses.replace(netlist, cells={cell: most + 1})
    with pytest.raises(UserError, match=f"does not fit: it needs {needs}, the LFE5U-85F has"):
        ecp5.require_fit(big, ecp5.LFE5U_85F)
    ecp5.require_fit(dataclasses.replace(netlist, cells={cell: most}), ecp5.LFE5U_85F)


def test_a_design_that_nextpnr_cannot_place_ends_in_one_sentence(netlist):
    with_pin_clash = PINS + '\nLOCATE COMP "serial_in" SITE "Z99";'
    with pytest.raises(UserError, match=r"nextpnr.*Z99"):
        ecp5.place_and_route(netlist, ecp5.LFE5U_85F, with_pin_clash, CLOCK_MHZ, 1)
