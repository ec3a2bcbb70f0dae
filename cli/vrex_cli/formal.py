"""`vrex formal`: the proofs."""

import sys

import click


@click.command()
@click.argument("names", nargs=-1, metavar="[PROOF]...")
def formal(names: tuple[str, ...]) -> None:
    """Run the proofs (all of them, or those named); exit code 1 if one fails."""
    from rich.console import Console

    import vrex_formal

    if not vrex_formal.prove(list(names) or None, Console()):
        sys.exit(1)
