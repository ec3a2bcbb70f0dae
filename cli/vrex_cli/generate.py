"""`vrex generate`: Verilog, manifest and header."""

from pathlib import Path

import click

from vrex_cli import options


@click.command()
@options.config
@click.option(
    "--top",
    default="kvpu",
    show_default=True,
    metavar="core|lxe|kvpu|hcu|wtu",
    help="Which unit is the top.",
)
@options.output_folder("build/verilog")
def generate(config_name: str, top: str, output: Path) -> None:
    """Write the Verilog of a configuration, its manifest and its C header."""
    from vrex_hw import config
    from vrex_hw.generate import generate as generate_files

    for path in generate_files(config.load(config_name), top=top, out_dir=output):
        click.echo(path)
