"""The `vrex` command and how it ends: code 2 and one line for bad input, 1 for wrong hardware."""

import sys
import warnings

import click

from vrex import HardwareError, UserError
from vrex_cli.bench import bench
from vrex_cli.capture import capture
from vrex_cli.demo import demo
from vrex_cli.doctor import doctor
from vrex_cli.eval import evaluate
from vrex_cli.formal import formal
from vrex_cli.generate import generate
from vrex_cli.run import run
from vrex_cli.soak import soak
from vrex_cli.synth import synth


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vrex")
def cli() -> None:
    """V-Rex in the open: generate the retrieval engine, simulate it, prove it, synthesise it."""


for command in (bench, capture, demo, doctor, evaluate, formal, generate, run, soak, synth):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ``arguments`` default to the process's."""
    try:
        code = cli.main(args=arguments, prog_name="vrex", standalone_mode=False)
    except UserError as error:
        _end(str(error))
    except HardwareError as error:
        click.echo(f"vrex: {error}", err=True)
        sys.exit(1)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _end(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        # What was made and never elaborated is no news now.
        warnings.simplefilter("ignore")
        click.echo("vrex: interrupted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _end(message: str) -> None:
    click.echo(f"vrex: {' '.join(message.split())}", err=True)
    sys.exit(2)
