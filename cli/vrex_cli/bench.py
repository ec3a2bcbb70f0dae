"""`vrex bench`: the figures, as one JSON list on stdout."""

import json
import os
from pathlib import Path
from typing import Any

import click

from vrex import UserError
from vrex_cli import options

Figures = list[dict[str, Any]]


def _rtl(_liberty: list[Path]) -> Figures:
    from vrex_hw import config
    from vrex_sim.benches import figures

    return figures.rtl(config.load("core"))


def _area(liberty: list[Path]) -> Figures:
    if not liberty:
        click.echo("vrex bench: no Liberty file given: the area group is left out", err=True)
        return []
    from vrex_hw import config
    from vrex_synth import area, core_area, dpe

    core = config.load("core")
    return area.figures(core, liberty) + dpe.figures(liberty) + core_area.figures(core, liberty)


def _fpga(_liberty: list[Path]) -> Figures:
    from vrex_hw import config
    from vrex_synth import boards, dpe

    return boards.figures(config.load("ulx3s")) + dpe.fpga_figures()


def _lxe(_liberty: list[Path]) -> Figures:
    from vrex_hw import config
    from vrex_sim.benches import lxe_figures

    return lxe_figures.lxe_figures(config.load("core"))


def _core(_liberty: list[Path]) -> Figures:
    from vrex_hw import config
    from vrex_sim.benches import core_figures

    return core_figures.core_figures(config.load("core"))


GROUPS = {"rtl": _rtl, "lxe": _lxe, "core": _core, "area": _area, "fpga": _fpga}


@click.command()
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
@click.option(
    "--liberty",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Liberty file for the area group, gzipped or not; repeat for several "
    "(or VREX_LIBERTY, spaces between).",
)
@options.as_json
def bench(groups: tuple[str, ...], liberty: tuple[Path, ...], as_json: bool) -> None:
    """Measure the figures of GROUPs (rtl, lxe, core, area, fpga; all without one)."""
    for group in groups:
        if group not in GROUPS:
            raise UserError(f"unknown bench group {group!r}: known are {', '.join(GROUPS)}")
    files = list(liberty) or [Path(p) for p in os.environ.get("VREX_LIBERTY", "").split()]
    for file in files:
        if not file.is_file():
            raise UserError(f"Liberty file {file} is not there: give the path of a .lib or .lib.gz")
    measured: Figures = []
    for group in groups or GROUPS:
        click.echo(f"vrex bench: measuring {group}", err=True)
        measured += GROUPS[group](files)
    if as_json:
        click.echo(json.dumps(measured, indent=2))
        return
    for figure in measured:
        click.echo("{name:32} {value:>14.6g} {unit:12} {config}".format(**figure))
