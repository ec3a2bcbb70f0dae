"""Boards: their pins, the top around the self-test, and the way to a bitstream."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth import Module
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from rich.console import Console
from rich.table import Table

from vrex import UserError
from vrex_hw.config import CONFIGS, Config
from vrex_synth import ecp5, vectors
from vrex_synth.pll import PLL
from vrex_synth.selftest import SelfTest

LEDS = 8
PORTS = {
    "crystal": In(1),
    "button": In(1),
    "led": Out(LEDS),
    "uart_tx": Out(1),
    "wifi_gpio0": Out(1),
}
"""The ports of :class:`Top`."""


@dataclass(frozen=True)
class Board:
    """A board. ``pins``: the balls of each of :data:`PORTS`, lowest bit first."""

    name: str
    device: ecp5.Device
    config: str
    crystal_mhz: float
    clock_mhz: float
    pins: Mapping[str, str]
    attributes: Mapping[str, str]

    def constraints(self) -> str:
        """Return the LPF file: a site and an I/O type for each pin, the crystal's frequency."""
        lines = []
        for port, sites in self.pins.items():
            balls = sites.split()
            for index, ball in enumerate(balls):
                name = port if len(balls) == 1 else f"{port}[{index}]"
                more = self.attributes.get(port, "")
                lines.append(f'LOCATE COMP "{name}" SITE "{ball}";')
                lines.append(f'IOBUF PORT "{name}" IO_TYPE=LVCMOS33 {more};')
        lines.append(f'FREQUENCY PORT "crystal" {self.crystal_mhz:g} MHZ;')
        return "\n".join(lines) + "\n"


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s-85f",
            device=ecp5.LFE5U_85F,
            config="ulx3s",
            crystal_mhz=25.0,
            clock_mhz=60.0,
            pins={
                "crystal": "G2",
                "led": "B2 C2 C1 D2 D1 E2 E1 H3",
                "button": "R1",
                "uart_tx": "L4",
                "wifi_gpio0": "L2",
            },
            attributes={"button": "PULLMODE=DOWN", "led": "DRIVE=4", "wifi_gpio0": "PULLMODE=UP"},
        ),
    )
}
"""The known boards."""


class Top(wiring.Component):
    """What a board's bitstream holds: the self-test behind the board's pins.

    ``led``: 0 passed, 1 failed, 2 running, 7 on once configured; ``button`` runs it again;
    ``uart_tx``: the verdict as text, 8N1 at 115,200 baud; ``wifi_gpio0`` is held high, which
    keeps the board's ESP32 from taking over.
    """

    def __init__(self, board: Board, config: Config) -> None:
        """Build the self-test for ``config`` at the board's clock."""
        self._board = board
        self._selftest = SelfTest(config, vectors.build(config), board.clock_mhz * 1e6)
        super().__init__(PORTS)

    def elaborate(self, platform: Any) -> Module:
        """Wire the pins."""
        m = Module()
        m.submodules.pll = pll = PLL(self._board.crystal_mhz, self._board.clock_mhz)
        m.submodules.selftest = selftest = self._selftest
        m.d.comb += [
            pll.clkin.eq(self.crystal),
            selftest.rerun.eq(self.button | ~pll.locked),
            self.led[0].eq(selftest.passed),
            self.led[1].eq(selftest.failed),
            self.led[2].eq(selftest.running),
            self.led[LEDS - 1].eq(1),
            self.uart_tx.eq(selftest.tx),
            self.wifi_gpio0.eq(1),
        ]
        return m


def find(name: str) -> Board:
    """Return the board called ``name``; UserError that lists the known ones."""
    if name not in BOARDS:
        raise UserError(f"unknown board {name!r}: known are {', '.join(BOARDS)}")
    return BOARDS[name]


def build(
    name: str,
    config: Config | None,
    output: Path,
    *,
    seeds: int = 1,
    console: Console | None = None,
) -> ecp5.Build:
    """Build the self-test of ``config`` (default: the board's own) for a board.

    Writes ``<board>.bit`` and the tools' files and logs into the folder ``output``, and prints
    the figures on ``console``. Takes minutes. Raises :class:`~vrex.UserError` for an unknown
    board, a folder that cannot be written, or a design that does not fit.
    """
    board = find(name)
    console = console or Console(stderr=True)
    config = config or CONFIGS[board.config]
    started = time.monotonic()

    def progress(step: str) -> None:
        console.print(f"[{time.monotonic() - started:5.0f} s] {step}", markup=False)

    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{name}.bit").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"folder {output} cannot be written: {error.strerror}") from None
    progress(f"emitting the self-test of {config.name} for {name}")
    source = verilog.convert(Top(board, config), name="top", emit_src=False)
    progress("mapping it to the device's cells")
    netlist = ecp5.synthesise(source, "top", output)
    built = ecp5.build(
        netlist,
        board.device,
        board.constraints(),
        board.clock_mhz,
        output / f"{name}.bit",
        seeds=seeds,
        progress=progress,
    )
    _report(built, board, config, console)
    return built


def figures(config: Config, board: str = "ulx3s-85f") -> list[dict[str, Any]]:
    """Return the ``fpga`` group of ``vrex bench``: the board's whole build, self-test included.

    ``fpga.luts``, ``fpga.multipliers``, ``fpga.block_rams``, ``fpga.fmax_mhz`` and
    ``fpga.requested_mhz``. Raises :class:`~vrex.UserError`.
    """
    with tempfile.TemporaryDirectory(prefix="vrex-fpga-") as folder:
        return ecp5.figures_of(build(board, config, Path(folder)), config)


def _report(built: ecp5.Build, board: Board, config: Config, console: Console) -> None:
    run, device = built.typical, board.device
    table = Table(title=f"{config.name} with its self-test on {board.name} ({device.name})")
    table.add_column("what")
    table.add_column("used", justify="right")
    table.add_column("of", justify="right")
    for what, used, most in (
        ("LUT4", run.luts, device.luts),
        ("flip-flops", run.flip_flops, device.luts),
        ("multipliers", run.multipliers, device.multipliers),
        ("block RAMs", run.block_rams, device.block_rams),
    ):
        table.add_row(what, f"{used:,}", f"{most:,}")
    table.add_row("Fmax, MHz", f"{run.fmax_mhz:.1f}", f"{built.requested_mhz:g} requested")
    console.print(table)
    if len(built.runs) > 1:
        each = ", ".join(f"{run.fmax_mhz:.1f}" for run in built.runs)
        console.print(f"Fmax is the median of {each} MHz")
    console.print(f"slowest path: {run.critical_path}", markup=False)
    if built.best.fmax_mhz < built.requested_mhz:
        console.print("the requested clock is missed: do not trust this bitstream")
    console.print(f"wrote {built.bitstream}", markup=False)
