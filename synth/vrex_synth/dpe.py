"""What a tree of the DPE costs: cell area of the 64-wide one, ECP5 logic and clock of a 16-wide."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import LXEConfig
from vrex_hw.dpe import Tree
from vrex_hw.dpe.row import Row
from vrex_hw.hierarchy import convert
from vrex_synth import area, ecp5

FPGA_WIDTH = 16
"""Inputs of the tree that is placed and routed."""
CLOCK_MHZ = 120.0
"""Asked of nextpnr, above what it reaches, so that it does not rest early."""
LOGIC_PS = 5000
"""Half a cycle of 100 MHz is for logic, the rest for routing: what is faster may be smaller."""
PINS = {"clk": "P3", "rst": "P4", "i": "N4", "o": "N3"}


class Harness(wiring.Component):
    """A tree between two pins: a shift register feeds it, its result is folded into one bit.

    It adds flip-flops and a dozen LUTs of XOR, and no path longer than a gate.
    """

    def __init__(self, width: int) -> None:
        """Take the width of the tree."""
        self._width = width
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Shift in, fold in two stages, shift out."""
        m = Module()
        m.submodules.tree = tree = Tree(self._width)
        inputs = Cat(tree.a, tree.b, tree.live, tree.acc)
        held = Signal(len(inputs), reset_less=True)
        out = Signal.like(tree.out, reset_less=True)
        folded = Signal(len(out) // 4, reset_less=True)
        o = Signal(reset_less=True)
        fold = Cat(out[4 * k : 4 * k + 4].xor() for k in range(len(folded)))
        m.d.sync += [held.eq(Cat(self.i, held)), out.eq(tree.out), folded.eq(fold)]
        m.d.sync += o.eq(folded.xor())
        m.d.comb += [inputs.eq(held), self.o.eq(o)]
        return m


def figures(liberty: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return the DPE's part of the area group, for a row of the core's DPE, 64 inputs wide.

    ``dpe.um2_per_mac``: area of a tree over its inputs, pipeline registers, normaliser and
    rounder included. ``dpe.tile_um2_per_mac``: of a row's two banks of tile registers, with what
    loads and selects them. Raises :class:`~vrex.UserError`.
    """
    sizes = LXEConfig()
    row = Row(sizes.side, sizes.window, sizes.load_rows)
    measured = area.measure(convert(row, "row"), "row", ["row.tree"], liberty).um2
    tree = measured["row.tree"]
    return [
        {
            "name": f"dpe.{name}",
            "value": round(um2 / sizes.side, 1),
            "unit": "um2",
            "config": "core",
        }
        for name, um2 in (("um2_per_mac", tree), ("tile_um2_per_mac", measured["row"] - tree))
    ]


def fpga_figures(
    seeds: int = 5, progress: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Return the DPE's part of the fpga group: a 16-wide tree on the LFE5U-85F, speed grade 6.

    ``dpe.lut_per_mac``: nextpnr's count, carry cells and the harness included, over the inputs;
    ``dpe.fmax_mhz``: the median over seeds 1 to ``seeds``. Takes one to two minutes a seed;
    ``progress`` is called before each. Raises :class:`~vrex.UserError`.
    """
    device = ecp5.LFE5U_85F
    source = convert(Harness(FPGA_WIDTH), "top", device=device.name)
    pins = "".join(f'LOCATE COMP "{port}" SITE "{site}";\n' for port, site in PINS.items())
    with tempfile.TemporaryDirectory(prefix="vrex-dpe-") as name:
        netlist = ecp5.synthesise(source, "top", Path(name), LOGIC_PS)
        runs = []
        for seed in range(1, seeds + 1):
            progress(f"placing and routing a tree, seed {seed} of {seeds}")
            runs.append(ecp5.place_and_route(netlist, device, pins, CLOCK_MHZ, seed))
    fmax = median_low(run.fmax_mhz for run in runs)
    luts = median_low(run.luts for run in runs) / FPGA_WIDTH
    return [
        {"name": "dpe.lut_per_mac", "value": round(luts, 1), "unit": "LUT4", "config": "16-wide"},
        {"name": "dpe.fmax_mhz", "value": round(fmax, 1), "unit": "MHz", "config": "16-wide"},
    ]
