"""`vrex demo`: the shipped trace through three engines."""

from pathlib import Path

import click

from vrex_cli import options


@click.command()
@options.output_folder("build/demo")
def demo(output: Path) -> None:
    """Run the shipped trace through the float, exact and compiled engines and compare them."""
    from rich.console import Console

    from vrex_sim.demo import demo as run_demo

    run_demo(output, Console())
