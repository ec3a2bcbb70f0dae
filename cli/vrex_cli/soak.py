"""`vrex soak`: a campaign of random faults on a small system of the core."""

from pathlib import Path

import click

from vrex_cli import options


@click.command()
@click.option("--faults", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--seed", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    default="build/soak.json",
    show_default=True,
    help="Counts so far: a campaign that was stopped goes on from there.",
)
@options.as_json
def soak(faults: int, seed: int, keep: Path, as_json: bool) -> None:
    """Make memory, link and reset go wrong at random while jobs run, and check what comes of it.

    No output that is wrong and not flagged, no hang, no write out of bounds: else exit code 1. A
    fault is met when something of a job was under way that it could hit.
    """
    import json
    import sys

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from vrex_sim.faults import Campaign

    campaign = Campaign(keep, seed)
    before = campaign.counts.made.total()
    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("faults", total=faults)
        counts = campaign.run(faults, lambda done, _: bar.update(task, completed=done))
    if as_json:
        told = {name: dict(getattr(counts, name)) for name in ("made", "met", "flagged")}
        click.echo(json.dumps(told, indent=2))
        return
    table = Table("fault", "made", "met", "jobs flagged")
    for kind in sorted(counts.made):
        row = (counts.made[kind], counts.met[kind], counts.flagged[kind])
        table.add_row(kind, *map(str, row))
    Console().print(table)
    made, met = counts.made.total(), counts.met.total()
    click.echo(
        f"{made} faults made, {made - before} of them now, {met} met by a job: no wrong output "
        "unflagged, no hang, no stray write"
    )
