"""The multiplier's two forms: both are the product of two cycles before."""

import itertools
from pathlib import Path
from random import Random

import pytest
from drive import drive

from vrex_hw.hierarchy import convert
from vrex_hw.multiplier import Multiplier
from vrex_synth import ecp5

MODEL = Path(__file__).with_name("mult18x18d.v").read_text()


def pairs(a_bits, b_bits):
    """Every pair where there are few, else random ones and corners."""
    if a_bits + b_bits <= 16:
        return list(itertools.product(range(1 << a_bits), range(1 << b_bits)))
    random = Random(1)
    corners = itertools.product((0, 1, (1 << a_bits) - 1), (0, 1, (1 << b_bits) - 1))
    return [*corners, *((random.getrandbits(a_bits), random.getrandbits(b_bits)) for _ in range(9))]


@pytest.mark.parametrize(
    ("bits", "device"),
    [((8, 8), ""), ((8, 8), ecp5.LFE5U_85F.name), ((18, 16), ecp5.LFE5U_85F.name)],
)
def test_every_product_two_cycles_later(bits, device):
    operands = pairs(*bits)
    unit = Multiplier(*bits)
    verilog = convert(unit, "unit", device=device)
    assert ("MULT18X18D" in verilog) == bool(device)
    inputs = dict(zip("ab", zip(*operands, strict=True), strict=True))
    verilog += MODEL if device else ""
    got = drive(unit, inputs, ["product"], Multiplier.LATENCY, verilog)["product"]
    assert got == [a * b for a, b in operands]


def test_the_block_keeps_its_registers_to_itself(tmp_path):
    source = convert(Multiplier(8, 8), "unit", device=ecp5.LFE5U_85F.name)
    netlist = ecp5.synthesise(source, "unit", tmp_path)
    assert netlist.multipliers == 1 and "TRELLIS_FF" not in netlist.cells


def test_what_no_block_holds_is_portable():
    assert "MULT18X18D" not in convert(Multiplier(19, 4), "unit", device=ecp5.LFE5U_85F.name)
