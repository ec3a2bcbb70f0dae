"""`vrex run`: a trace through the reference or through the RTL."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vrex import Params, UserError
from vrex.params import MODE_CHANGES, NAMES
from vrex.residency import Policy
from vrex_cli import options

if TYPE_CHECKING:
    from resv_ref.trace import Trace
    from vrex_hw.config import Config

ENGINES = ("float", "exact", "rtl", "compiled")
HARDWARE = ("rtl", "compiled")
POLICIES = tuple(policy.name.lower() for policy in Policy)
Outcome = tuple[dict[str, Any], dict[str, Any]]
"""Tensors, and a summary."""
LONG = ("metadata", "timeline")
"""What of a summary is left out where people read it."""


@click.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--engine", default="exact", show_default=True, metavar="|".join(ENGINES))
@click.option(
    "--config",
    "config_name",
    metavar="NAME|FILE.toml",
    help="Hardware that the trace must fit; without it rtl and compiled are sized for the trace, "
    "64 lanes wide, which takes minutes to build (tiny: one).",
)
@click.option("--mode", metavar="|".join(MODE_CHANGES), help="Take a named mode's parameters.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change one parameter.")
@click.option(
    "--policy",
    metavar="|".join(POLICIES),
    help="Which fetched clusters give way (rtl, compiled): frequency if left out.",
)
@click.option(
    "--room",
    type=click.IntRange(min=0),
    metavar="N",
    help="Resident slots of a head (rtl, compiled): if left out, all that the hardware has.",
)
@click.option(
    "--timeline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a picture (png, svg, pdf) of which unit worked when (rtl, compiled).",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@options.as_json
def run(
    trace: Path,
    engine: str,
    config_name: str | None,
    mode: str | None,
    changes: tuple[str, ...],
    policy: str | None,
    room: int | None,
    timeline: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Run TRACE (safetensors) and write every intermediate tensor to OUTPUT."""
    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}: known are {', '.join(ENGINES)}")
    _refuse_software(engine, policy=policy, room=room, timeline=timeline)
    if policy is not None and policy not in POLICIES:
        raise UserError(f"unknown policy {policy!r}: known are {', '.join(POLICIES)}")
    from resv_ref import files
    from resv_ref import trace as traces

    given = traces.read(trace, change=lambda params: _settle(params, mode, changes))
    files.check_writable(output, keep=trace)
    if timeline is not None:
        _check_timeline(timeline, trace, output)
    hardware = _hardware(given, config_name, room)
    with _progress(f"{engine} engine") as progress:
        if engine in HARDWARE:
            tensors, summary = _simulate(given, engine, hardware, progress, policy, room, timeline)
        else:
            tensors, summary = _calculate(given, engine, hardware, progress)
    traces.write(output, tensors, summary["metadata"])
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _report(summary, output)


def _settle(params: Params, mode: str | None, changes: tuple[str, ...]) -> Params:
    if mode is not None:
        params = params.with_mode(mode)
    return params.replace(**dict(_assignment(text) for text in changes))


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or name not in NAMES:
        raise UserError(
            f"--set {text!r}: it must be NAME=VALUE with NAME one of {', '.join(NAMES)}"
        )
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, None if value in ("none", "None") else value


def _refuse_software(engine: str, **options: object) -> None:
    """Raise :class:`~vrex.UserError` for an option that only hardware has with another engine."""
    for name, value in options.items():
        if value is not None and engine not in HARDWARE:
            raise UserError(
                f"--{name}: the {engine} engine has no such hardware; add --engine compiled or rtl"
            )


def _check_timeline(path: Path, trace: Path, output: Path) -> None:
    from vrex_sim import timeline

    timeline.check(path, keep=trace)
    if path.resolve() == output.resolve():
        raise UserError(f"{path}: is the output as well; give the timeline another name")


def _hardware(given: "Trace", config_name: str | None, room: int | None) -> "Config | None":
    """Return the named configuration; with any engine, a trace that it cannot take is refused."""
    if config_name is None:
        return None
    from vrex_hw import config
    from vrex_sim import sizing

    hardware = config.load(config_name)
    sizing.check_fits(given, given.params, hardware, room)
    return hardware


def _simulate(
    given: "Trace",
    engine: str,
    hardware: "Config | None",
    progress: Any,
    policy: str | None,
    room: int | None,
    timeline: Path | None,
) -> Outcome:
    from vrex_sim import engine_rtl
    from vrex_sim.core_jobs import Setup

    return engine_rtl.run(
        given,
        given.params,
        hardware,
        progress,
        setup=Setup(policy=Policy[policy.upper()] if policy else Setup.policy, room=room),
        engine=engine,
        picture=timeline,
    )


def _calculate(given: "Trace", engine: str, hardware: "Config | None", progress: Any) -> Outcome:
    from resv_ref import run as reference

    return reference.run(given, given.params, engine, progress, **_arithmetic(hardware))


def _arithmetic(hardware: "Config | None") -> dict[str, int]:
    """Return the sizes of the exact engine's arithmetic; the reference's own without hardware."""
    if hardware is None:
        return {}
    from vrex_sim import sizing

    return sizing.arithmetic(hardware)


@contextmanager
def _progress(title: str) -> Iterator[Any]:
    """Yield ``progress(done, total)``, drawn on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report(summary: dict[str, Any], output: Path) -> None:
    for name, value in _flat(summary):
        click.echo(f"{name:32} {value:.4g}" if isinstance(value, float) else f"{name:32} {value}")
    click.echo(f"wrote {output}")


def _flat(summary: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the summary's figures by dotted names, but those that are :data:`LONG`."""
    for name, value in summary.items():
        if isinstance(value, dict):
            if name not in LONG:
                yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
