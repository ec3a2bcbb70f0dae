"""What the core's parts take of its logic: the retrieval engine's share, as the paper tells it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vrex_hw.config import Config
from vrex_hw.generate import emit
from vrex_synth import area

PARTS = {
    "hcu": ("core.prediction.engine.hcu",),
    "wtu": ("core.prediction.engine.wtu",),
    "kvmu": ("core.retriever", "core.storer", "core.table", "core.link_port"),
    "lxe": ("core.execution.lxe",),
}
"""A part, and the modules that make it up."""
DRE = ("core.prediction", "core.retriever", "core.storer", "core.table", "core.link_port")
"""The modules of the DRE, whose memories are counted together."""


def figures(config: Config, liberty: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Return the areas of the core's parts, and their shares of its logic.

    ``area.hcu_share``, ``wtu_share``, ``kvmu_share`` and, together, ``area.dre_share``; the areas
    as ``area.core_*_um2``, that of the whole as ``area.core_um2``. The KVMU is retriever, storer,
    table and link port; ports of memory, feeder, writer, sequencer and registers count in the
    whole alone. All memories stay memories here, however shallow: they are in none of the areas,
    ``area.core_dre_memory_bits`` and ``area.core_lxe_memory_bits`` are theirs. Beside them
    ``area.kvmu_um2``: the KVMU with its shallow ones as flip-flops, as ``area.hcu_um2`` and
    ``area.wtu_um2`` are. Raises :class:`~vrex.UserError`.
    """
    source = emit(config, "core")
    shared = re.findall(r"^module (?:\\)?((?!core\b)[\w.$]+)", source, re.M)
    names = [name for modules in PARTS.values() for name in modules]
    measured = area.measure(source, "core", [*names, *shared], liberty, shallow=0)
    whole = measured.um2["core"]
    parts = {part: sum(measured.um2[name] for name in of) for part, of in PARTS.items()}
    parts["dre"] = parts["hcu"] + parts["wtu"] + parts["kvmu"]
    bits = {
        part: sum(memory.bits for memory in measured.memories if memory.unit.startswith(of))
        for part, of in (("dre", DRE), ("lxe", PARTS["lxe"]))
    }
    kvmu = sum(area.measure(source, name, [], liberty).um2[name] for name in PARTS["kvmu"])
    values = [("area.core_um2", round(whole, 1), "um2"), ("area.kvmu_um2", round(kvmu, 1), "um2")]
    for part, um2 in parts.items():
        values.append((f"area.core_{part}_um2", round(um2, 1), "um2"))
        if part != "lxe":
            values.append((f"area.{part}_share", round(100 * um2 / whole, 3), "%"))
    values += [(f"area.core_{part}_memory_bits", count, "bit") for part, count in bits.items()]
    return [
        {"name": name, "value": value, "unit": unit, "config": config.name}
        for name, value, unit in values
    ]
