"""The tree over its emitted Verilog, beat by beat, against the model in integers.

Both of its forms: the portable one, and the one for an ECP5 over a model of its multiplier.
"""

import itertools
from pathlib import Path
from random import Random

import model
import operands
import pytest
from drive import drive, pack

from vrex_hw.dpe import Tree
from vrex_hw.hierarchy import convert
from vrex_synth import ecp5

MULTIPLIER = Path(__file__).with_name("mult18x18d.v").read_text()


@pytest.fixture(params=["", ecp5.LFE5U_85F.name], ids=["portable", "ecp5"])
def device(request):
    return request.param


def compare(width, window, beats, device):
    """Run the beats, a cycle each, and compare every result; return the results."""
    tree = Tree(width, window)
    verilog = convert(tree, "unit", device=device)
    assert ("MULT18X18D" in verilog) == bool(device)
    verilog += MULTIPLIER if device else ""
    inputs = {
        "a": [pack(a, 16) for a, _, _, _ in beats],
        "b": [pack(b, 16) for _, b, _, _ in beats],
        "live": [live for _, _, live, _ in beats],
        "acc": [acc for _, _, _, acc in beats],
    }
    got = drive(tree, inputs, ["out"], verilog=verilog)["out"]
    for beat, found in zip(beats, got, strict=True):
        wanted = model.beat(*beat, window)
        assert found == wanted, f"{beat}: {found:08x}, wanted {wanted:08x}"
    return got


@pytest.mark.parametrize(
    ("width", "window"), [(1, 28), (2, 28), (3, 20), (5, 30), (8, 28), (16, 28)]
)
def test_random_beats(width, window, device):
    random = Random(width)
    got = compare(width, window, [operands.beat(random, width) for _ in range(1500)], device)
    assert {model.NAN, 0} < set(got) and len(set(got)) > 500


def test_every_pair_of_corners(device):
    """Two products and an accumulator of all corner values: one product against all, both ways."""
    beats = []
    for a, b in itertools.product(operands.CORNERS, repeat=2):
        for acc in operands.ACC_CORNERS:
            beats.append(([a, 0x3F80], [b, 0xBF80], 3, acc))
            beats.append(([0xFFC0, a], [0x3F80, b], 2, acc))
    compare(2, 28, beats, device)


def test_every_pair_of_exponents_in_reach(device):
    """A product against an accumulator at every distance, every sign, full and empty fractions."""
    beats = []
    for distance in range(-40, 41):
        for signs in range(4):
            for a, acc in itertools.product((0, 0x7F), (0, 1, 0x7FFFFF)):
                product = (signs & 1) << 15 | (127 + distance) << 7 | a
                beats.append(([product], [0x3FFF], 1, (signs >> 1) << 31 | 127 << 23 | acc))
    compare(1, 28, beats, device)
