"""What a bench gets and gives back: one ``.npz`` file each way, without pickle.

A dictionary of numpy arrays and of JSON values (numbers, strings, lists, dictionaries) becomes one
file: every array under its own name, all the rest as one JSON text.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

DIRECTORY = "VREX_BENCH"
"""The environment variable that names the directory of this run, inside the simulator."""
PROGRESS = "progress"
"""File in that directory: how much is done, and of how much."""
_JSON = "json"


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` to ``path``; raises ValueError for a name that is taken, ``json``."""
    if _JSON in values:
        raise ValueError(f"{_JSON!r} cannot name a value: the file uses it itself")
    arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    text = json.dumps({k: v for k, v in values.items() if k not in arrays})
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, **{_JSON: np.array(text)})


def read(path: Path) -> dict[str, Any]:
    """Read what :func:`write` wrote."""
    with np.load(path, allow_pickle=False) as file:
        values: dict[str, Any] = json.loads(str(file[_JSON]))
        values.update({k: file[k] for k in file.files if k != _JSON})
    return values


def directory() -> Path:
    """Return the directory of the run; only inside a bench."""
    return Path(os.environ[DIRECTORY])


def arguments() -> dict[str, Any]:
    """Return, inside a bench, what ``runner.run`` was called with."""
    return read(directory() / "arguments.npz")


def give(**values: Any) -> None:
    """Hand results back from a bench to ``runner.run``; call it once."""
    write(directory() / "results.npz", values)


def tell(done: int, total: int) -> None:
    """Say, inside a bench, how far it is; ``runner.run`` hands it to its ``progress``."""
    path = directory() / PROGRESS
    path.with_suffix(".new").write_text(f"{done} {total}")
    path.with_suffix(".new").replace(path)
