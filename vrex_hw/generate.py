"""Writes what a user takes away: a top's Verilog, its manifest, and a C header of registers."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from vrex.errors import UserError
from vrex_hw.config import Config
from vrex_hw.core import Core
from vrex_hw.hcu import HCU
from vrex_hw.hierarchy import convert
from vrex_hw.kvpu import KVPU
from vrex_hw.lxe.lxe import LXE
from vrex_hw.manifest import REGISTERED, describe, fields
from vrex_hw.registers.render import c_header
from vrex_hw.wtu import WTU

TOPS: dict[str, Callable[[Config], wiring.Component]] = {
    "core": Core,
    "kvpu": KVPU,
    "lxe": LXE,
    "hcu": lambda config: HCU(config.hcu),
    "wtu": lambda config: WTU(config.wtu),
}
"""What can be a top, by the name of its module."""
AXI = re.compile("[sm]_axi")
"""What the names of AXI interfaces begin with."""
MANIFEST = "manifest.json"


def generate(config: Config, *, top: str, out_dir: Path) -> list[Path]:
    """Write ``TOP.v``, ``manifest.json`` and ``vrex_TOP.h`` where it has registers.

    Returns the paths. The same configuration gives the same bytes on every machine that has the
    same version of this package and of Amaranth. Raises :class:`~vrex.errors.UserError` for an
    unknown top and for a folder that cannot be written; nothing half-written is left behind.
    """
    unit = _make(config, top)
    files = {f"{top}.v": _emit(config, top, unit)}
    if top in REGISTERED:
        files[f"vrex_{top}.h"] = c_header(REGISTERED[top], config)
    hashes = {name: hashlib.sha256(body.encode()).hexdigest() for name, body in files.items()}
    manifest = describe(config, top, ports(unit), hashes)
    files[MANIFEST] = json.dumps(manifest, indent=2) + "\n"
    return _write(files, out_dir)


def emit(config: Config, top: str = "kvpu") -> str:
    """Return the Verilog of ``top``, the module of that name, without the paths of its sources.

    Ports of AXI interfaces join with one underscore (``s_axil_awaddr``), all others as Amaranth
    does it (``job__payload``). Raises :class:`~vrex.errors.UserError` for an unknown
    top.
    """
    return _emit(config, top, _make(config, top))


def _make(config: Config, top: str) -> wiring.Component:
    if top not in TOPS:
        raise UserError(f"unknown top {top!r}: known are {', '.join(TOPS)}")
    return TOPS[top](config)


def _emit(config: Config, top: str, unit: wiring.Component) -> str:
    text = verilog(unit, top)
    version = importlib.metadata.version("vrex")
    return (
        f"// V-Rex {version}: {top}, configuration {config.name} ({config.fingerprint:08x}).\n"
        f"// SPDX-License-Identifier: Apache-2.0\n{text}"
    )


def ports(unit: wiring.Component) -> list[dict[str, Any]]:
    """Return name, direction and bits of every port of ``unit`` as emitted, clk and rst first.

    A payload has ``fields`` too: the lowest bit and the width of each.
    """
    found: list[dict[str, Any]] = [
        {"name": name, "direction": "input", "bits": 1} for name in ("clk", "rst")
    ]
    for name, (member, value) in members(unit).items():
        direction = "input" if member.flow == In else "output"
        found.append({"name": name, "direction": direction, "bits": len(value)})
        if isinstance(member.shape, data.Layout):
            found[-1]["fields"] = fields(member.shape)
    return found


def verilog(unit: wiring.Component, name: str) -> str:
    """Return the Verilog of any unit as module ``name``, its ports called as in :func:`emit`."""
    return convert(unit, name, {port: (value, None) for port, (_, value) in members(unit).items()})


def members(unit: wiring.Component) -> dict[str, tuple[wiring.Member, Value]]:
    """Return each port and its value, by its name in Verilog."""
    return {
        ("_" if AXI.match(path[0]) else "__").join(map(str, path)): (member, Value.cast(value))
        for path, member, value in unit.signature.flatten(unit)
    }


def _write(files: dict[str, str], folder: Path) -> list[Path]:
    """Write all of ``files`` beside their places, then move them there, or leave nothing."""
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            made.append(folder / f".{name}.{os.getpid()}")
            made[-1].write_text(text, encoding="ascii", newline="\n")
        paths = [folder / name for name in files]
        for temporary, path in zip(made, paths, strict=True):
            temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    finally:
        for temporary in made:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return paths
