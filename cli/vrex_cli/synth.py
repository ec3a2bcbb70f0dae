"""`vrex synth`: a bitstream for a board, or the cell area of a configuration."""

from pathlib import Path

import click

from vrex import UserError
from vrex_cli import options


@click.command()
@click.option("--board", metavar="NAME", help="Build a self-checking bitstream, e.g. ulx3s-85f.")
@click.option("--config", "config_name", metavar="NAME|FILE.toml", help="Default: the board's.")
@click.option("--seeds", type=click.IntRange(1, 20), default=1, show_default=True)
@click.option(
    "--area",
    "liberty",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Liberty file: report cell areas instead; repeat for several.",
)
@options.output_folder("build/bitstream")
def synth(
    board: str | None, config_name: str | None, seeds: int, liberty: tuple[Path, ...], output: Path
) -> None:
    """Synthesise: --board NAME makes a .bit, --area LIBERTY prints areas."""
    from rich.console import Console

    from vrex_hw import config

    if liberty:
        from vrex_synth import area, core_area, dpe

        chosen = config.load(config_name or "core")
        figures = area.figures(chosen, list(liberty)) + dpe.figures(list(liberty))
        figures += core_area.figures(chosen, list(liberty))
        for figure in figures:
            click.echo("{name:32} {value:>14.6g} {unit:12} {config}".format(**figure))
    elif board:
        from vrex_synth import boards

        hardware = None if config_name is None else config.load(config_name)
        boards.build(board, hardware, output, seeds=seeds, console=Console())
    else:
        raise UserError("give --board NAME or --area LIBERTY")
