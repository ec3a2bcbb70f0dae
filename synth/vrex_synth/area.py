"""Cell area of emitted Verilog, from Liberty files that the user names.

The figures are those of an unconstrained synthesis before layout: compare them with each other,
and read no timing into them. Logic is mapped to the library's cells. Memories of
:data:`SHALLOW` words or more would be SRAM macros, which a Liberty file of cells lacks: they stay
as they are and are counted in bits, apart from the area. Shallower ones are flip-flops and part
of the area; so are tables that are never written, as gates.
"""

import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from amaranth.back import verilog

from vrex import UserError
from vrex_hw.config import Config
from vrex_synth import tools

SHALLOW = 64
"""Memories with fewer words than this are mapped to flip-flops (our decision)."""
DONT_USE = ("*x1p*_ASAP7*", "*xp*_ASAP7*", "SDF*", "ICG*", "DFFHQx4*")
"""Cells left out: of ASAP7, its fractional drives, scan flip-flops, clock gates and the largest
flip-flop, which the mapping would otherwise prefer. Patterns that match nothing do no harm."""

_CELL_OR_AREA = re.compile(r'\bcell\s*\(\s*"?(\w+)"?\s*\)|\barea\s*:\s*"?([\d.]+)')
_FLIP_FLOP = re.compile(r"\bff\s*\(")


@dataclass(frozen=True)
class MemoryCell:
    """A memory: its unit (module), name, and ``depth`` words of ``width`` bits."""

    unit: str
    name: str
    width: int
    depth: int

    @property
    def bits(self) -> int:
        """``depth * width``."""
        return self.depth * self.width


@dataclass(frozen=True)
class Area:
    """Area by unit. ``um2``: cell area of each module, what it instantiates included, in the
    Liberty files' unit (square micrometres). ``nand2_um2``: area of the smallest two-input NAND.
    """

    um2: dict[str, float]
    nand2_um2: float
    memories: tuple[MemoryCell, ...]

    def nand2(self, unit: str) -> float:
        """Return the area of ``unit`` in two-input NAND equivalents."""
        return self.um2[unit] / self.nand2_um2

    @property
    def memory_bits(self) -> int:
        """Bits of the memories that stayed memories, which ``um2`` leaves out."""
        return sum(memory.bits for memory in self.memories if memory.depth >= SHALLOW)

    @property
    def shallow_bits(self) -> int:
        """Bits of the memories that became flip-flops and are part of ``um2``."""
        return sum(memory.bits for memory in self.memories if memory.depth < SHALLOW)


class Library:
    """Liberty files, unpacked into a folder under names of our own.

    ``paths``: one file or more, gzipped or not. Raises :class:`~vrex.UserError` when there is
    none, when one cannot be read, or when they hold no flip-flop or no cell named NAND2.
    """

    def __init__(self, paths: Sequence[str | Path], folder: Path) -> None:
        """Unpack ``paths`` into ``folder``."""
        if not paths:
            raise UserError("area needs Liberty files: name them with --liberty or VREX_LIBERTY")
        self.files: list[str] = []
        self.flip_flop_files: list[str] = []
        areas: dict[str, float] = {}
        for index, path in enumerate(paths):
            text = _read(Path(path))
            name = f"cells{index}.lib"
            (folder / name).write_text(text)
            self.files.append(name)
            if _FLIP_FLOP.search(text):
                self.flip_flop_files.append(name)
            areas.update(_cell_areas(text))
        shown = ", ".join(map(str, paths))
        if not self.flip_flop_files:
            raise UserError(f"the Liberty files hold no flip-flop: {shown}")
        nand2 = [
            area
            for cell, area in areas.items()
            if "NAND2" in cell.upper() and area > 0 and not _left_out(cell)
        ]
        if not nand2:
            raise UserError(f"the Liberty files hold no cell named NAND2: {shown}")
        self.nand2_um2 = min(nand2)


def measure(
    source: str,
    top: str,
    units: Sequence[str],
    liberty: Sequence[str | Path],
    shallow: int = SHALLOW,
) -> Area:
    """Map Verilog ``source`` to the cells of the ``liberty`` files and return its area by unit.

    ``units`` are modules below ``top`` that keep their boundary; all else is flattened into the
    unit (or the top) that instantiates it. Memories of fewer than ``shallow`` words become
    flip-flops; 0: none does. Raises :class:`~vrex.UserError`.
    """
    outputs = ["stat.json", "memories.json"]
    with tempfile.TemporaryDirectory(prefix="vrex-area-") as name:
        folder = Path(name)
        library = Library(liberty, folder)
        (folder / "design.v").write_text(source)
        tools.yosys(_script(top, units, library, shallow), folder, outputs)
        stat, memories = (json.loads((folder / name).read_text())["modules"] for name in outputs)
    return Area(
        um2={name: stat["\\" + name]["area"] for name in (top, *units)},
        nand2_um2=library.nand2_um2,
        memories=tuple(_memories(memories)),
    )


def figures(config: Config, liberty: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return the ``area`` group of ``vrex bench`` for ``config``.

    ``area.hcu_um2``, ``area.wtu_um2``: the units; ``area.kvpu_um2``: the whole KVPU, both units
    included; each also as ``_nand2``, in two-input NAND equivalents. ``area.dre_memory_bits``:
    bits of the KVPU's memories, which the areas leave out; ``area.dre_shallow_bits``: bits of
    those that are so shallow that the areas hold them, as flip-flops. Raises
    :class:`~vrex.UserError`.
    """
    from vrex_hw.kvpu.core import KVPU

    top = "kvpu"
    units = {"hcu": f"{top}.engine.hcu", "wtu": f"{top}.engine.wtu", "kvpu": top}
    source = verilog.convert(KVPU(config), name=top)
    area = measure(source, top, [units["hcu"], units["wtu"]], liberty)
    values = [(f"area.{unit}_um2", round(area.um2[name], 1), "um2") for unit, name in units.items()]
    values += [
        (f"area.{unit}_nand2", round(area.nand2(name)), "NAND2") for unit, name in units.items()
    ]
    values.append(("area.dre_memory_bits", area.memory_bits, "bit"))
    values.append(("area.dre_shallow_bits", area.shallow_bits, "bit"))
    return [
        {"name": name, "value": value, "unit": unit, "config": config.name}
        for name, value, unit in values
    ]


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("latin-1")
    except OSError as error:
        raise UserError(f"Liberty file {path} cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise UserError(f"Liberty file {path} cannot be read: {error}") from None


def _cell_areas(text: str) -> dict[str, float]:
    areas: dict[str, float] = {}
    cell = None
    for match in _CELL_OR_AREA.finditer(text):
        if match[1]:
            cell = match[1]
        elif cell and cell not in areas:
            areas[cell] = float(match[2])
    return areas


def _left_out(cell: str) -> bool:
    return any(fnmatchcase(cell, pattern) for pattern in DONT_USE)


def _script(top: str, units: Sequence[str], library: Library, shallow: int) -> str:
    dont_use = " ".join(f"-dont_use {pattern}" for pattern in DONT_USE)
    cells = " ".join(f"-liberty {name}" for name in library.files)
    flip_flops = " ".join(f"-liberty {name}" for name in library.flip_flop_files)
    keep = "\n".join(
        f"select -assert-mod-count 1 {unit}\nsetattr -mod -set keep_hierarchy 1 {unit}"
        for unit in units
    )
    return f"""
        read_verilog design.v
        hierarchy -check -top {top}
        {keep}
        synth -flatten -run begin:fine
        select t:$mem_v2 r:WR_PORTS>0 %i
        write_json -selected memories.json
        select -clear
        select -set logic t:$mem_v2 r:SIZE<{shallow} %i t:$mem_v2 r:WR_PORTS<1 %i %u
        memory_map @logic
        opt -undriven -fine
        techmap
        opt -fast
        dfflibmap {dont_use} {flip_flops}
        abc {dont_use} {cells}
        opt_clean
        tee -q -o stat.json stat -json {cells}
    """


def _memories(modules: dict[str, Any]) -> Iterator[MemoryCell]:
    for unit, module in modules.items():
        for name, cell in module["cells"].items():
            width, depth = (int(cell["parameters"][key], 2) for key in ("WIDTH", "SIZE"))
            yield MemoryCell(unit=unit, name=name, width=width, depth=depth)
