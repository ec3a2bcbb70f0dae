"""`vrex eval`: every method through the test streams of a trained model."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrex import UserError
from vrex_cli.options import LONGEST

if TYPE_CHECKING:
    from vrex_eval.benchmark import Benchmark


@click.command("eval")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME[:SETTING=VALUE,...]",
    help="full, rekv, quest, resv, recommended, ... (docs/accuracy.md); all if left out.",
)
@click.option(
    "--budget", "budgets", multiple=True, type=float, help="The methods' own if left out."
)
@click.option("--sweep", is_flag=True, help="Every budget of each method's curve.")
@click.option("--ablation", is_flag=True, help="Add the steps from paper to recommended.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A trained model; repeat for several seeds; the shipped one if left out.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Streams to test on; the held-out ones of our generator if left out.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Streams of the generator: settings are chosen on val, reported on test.",
)
@click.option(
    "--context",
    "contexts",
    multiple=True,
    type=click.IntRange(1, LONGEST),
    default=[4096],
    show_default=True,
)
@click.option("--streams", type=int, default=32, show_default=True)
@click.option(
    "--batch",
    type=int,
    default=8,
    show_default=True,
    help="Streams watched at once; of longer ones than 4,096 tokens fewer.",
)
@click.option("--sinks", type=int, help="First tokens always attended, in all methods.")
@click.option("--recent", type=int, help="Latest tokens always attended, in all methods.")
@click.option(
    "--probe",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Compare outputs with exact attention every so many frames; 0: never.",
)
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes.")
@click.option("--device", default="cpu", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR"
)
def evaluate(
    models: tuple[Path, ...],
    data: Path | None,
    split: str,
    device: str,
    output: Path,
    **options: Any,
) -> None:
    """Measure accuracy and reads of methods; a run that was stopped goes on where it was."""
    from vrex_eval import run

    settings = run.Settings(**options)
    run.chosen(settings)
    check_device(device)
    benchmarks = load_benchmarks(models, data, device, split)
    with _progress() as progress:
        cells = run.evaluate(benchmarks, settings, output, progress)
    click.echo(f"wrote {len(cells)} results, tables and plots to {output}")


def check_device(device: str) -> None:
    """Raise :class:`~vrex.UserError` for a device that torch does not have."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        line = str(error).partition("\n")[0]
        raise UserError(f"device {device!r} cannot be used ({line}); try --device cpu") from None


def load_benchmarks(
    models: Sequence[Path], data: Path | None, device: str, split: str = "test"
) -> list["Benchmark"]:
    """Load the models with their streams, through the package that has both."""
    try:
        loader = importlib.import_module("vrex_video.benchmark")
    except ImportError:
        raise UserError("no video model is installed: vrex_video.benchmark is missing") from None
    return [
        loader.load(model, data, device, loader.Split[split.upper()]) for model in models or (None,)
    ]


@contextmanager
def _progress() -> Iterator[Any]:
    """Yield ``progress(done, total, what)``, drawn on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=total, description=what
        )
