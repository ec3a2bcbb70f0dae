"""The `rtl` group of `vrex bench`: what the emitted Verilog of a configuration does."""

import tempfile
import time
from pathlib import Path
from typing import Any

from vrex_hw.config import Config
from vrex_hw.generate import generate
from vrex_sim.benches import examples
from vrex_sim.benches.hcu_utilisation import hcu_of_trace, hcu_utilisation
from vrex_sim.benches.wtu_figures import wtu_figures


def rtl(config: Config) -> list[dict[str, Any]]:
    """Return the figures ``hcu.utilisation*``, ``wtu.*`` and ``generate.kvpu_seconds``.

    Raises :class:`vrex_sim.runner.BenchError` when a unit's output is wrong.
    """
    utilisations = {"": hcu_utilisation(config), f".{examples.FIRST.stem}": hcu_of_trace(config)}
    return [
        *(
            {
                "name": f"hcu.utilisation{of}",
                "value": value,
                "unit": "compares per peak compare",
                "config": config.name,
            }
            for of, value in utilisations.items()
        ),
        *wtu_figures(config),
        {
            "name": "generate.kvpu_seconds",
            "value": generation_seconds(config),
            "unit": "s",
            "config": config.name,
        },
    ]


def generation_seconds(config: Config) -> float:
    """Return the wall-clock seconds in which the KVPU's files are written."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        generate(config, top="kvpu", out_dir=Path(folder) / "kvpu")
        return time.perf_counter() - began
