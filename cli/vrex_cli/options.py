"""Options that several subcommands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

LONGEST = 1 << 20
"""Most tokens of a stream that is made."""

Command = TypeVar("Command", bound=Callable[..., Any])

config = click.option(
    "--config",
    "config_name",
    metavar="NAME|FILE.toml",
    default="core",
    show_default=True,
    help="A named configuration (core, ulx3s, tiny) or a TOML file of your own.",
)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON alone on stdout.")


def output_folder(default: str) -> Callable[[Command], Command]:
    """Return ``-o/--output DIR`` with a default."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help="Folder to write; made if missing.",
    )
