"""How fast the HCU is: against the peak of its lanes, and to the cycle where scans are short."""

from dataclasses import asdict
from itertools import pairwise

from resv_ref import generator, trace
from vrex import MODES
from vrex_hw.config import CONFIGS
from vrex_hw.hcu.layouts import lane_bits
from vrex_sim.benches.hcu_traffic import Head, Registers
from vrex_sim.benches.hcu_utilisation import hcu_of_trace, hcu_utilisation


def test_utilisation_of_a_trace(tmp_path):
    """Short scans: some ten clusters a token at most, so that decisions and trailers show."""
    source = generator.generate(20, 10, 2, 2, 64, 1, MODES["tight"])
    path = tmp_path / "short.safetensors"
    trace.write(path, source.tensors(), source.metadata())
    assert 0.7 < hcu_of_trace(CONFIGS["core"], path) < 0.95


def test_utilisation_of_the_core():
    assert hcu_utilisation(CONFIGS["core"], heads=3) >= 0.98


def test_cycles_that_the_docstring_tells(simulate, lanes):
    """Packets of 1, 3 and no tokens resume one head; its tokens meet one word or two."""
    window = lanes.open // 2
    joining = Registers(join_window=4, recent_window=window)
    opening = Registers(hamming_threshold=0, join_window=1, recent_window=window)
    sealing = Registers(hamming_threshold=0, join_window=1, recent_window=1)
    sessions = []
    for registers in (joining, opening, sealing):
        head = Head()
        packets = [head.packet([1], registers)]
        packets += [head.packet([1] * n, registers, resume=True) for n in (1, 3, 0)]
        sessions.append({"registers": asdict(registers), "packets": packets})
    ends = simulate(lanes, sessions)["trailers"]
    one, three, none = zip(
        *([b - a for a, b in pairwise(ends[at : at + 4])] for at in (0, 4, 8)), strict=True
    )
    assert none == (9, 9, 9)
    assert three[0] - one[0] == 2 * (7 + lanes.phases + lane_bits(lanes))
    assert three[1] - one[1] <= 2 * (7 + 2 * lanes.phases + lane_bits(lanes))
    assert one[2] - one[1] == 3 and three[2] - three[1] == 9
