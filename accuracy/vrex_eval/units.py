"""The results folder: what has been watched so far, in files that are whole or not there."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resv_ref import files
from vrex import UserError

PLAN = "plan.json"
UNITS = "units"


@dataclass(frozen=True, kw_only=True)
class Key:
    """What one unit of work is: a method through a batch of streams."""

    method: str
    budget: float
    """1.0 for methods that have none."""
    context: int
    seed: int
    first: int
    """Number of the batch's first stream."""
    count: int
    """Streams in the batch."""

    @property
    def file(self) -> str:
        """The unit's file name: readable, and unlike that of any other key."""
        text = json.dumps(asdict(self))
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        name = "".join(c if c.isalnum() else "-" for c in self.method)[:60]
        return f"{name}-{self.budget:g}-{self.context}-{self.seed}-{self.first}-{digest}.json"


class Folder:
    """A results folder under one plan; what another plan left there is refused."""

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        """Open or make the folder.

        Raises :class:`~vrex.UserError` where it cannot be made, or holds results of other
        settings, models or data.
        """
        self.path = path
        try:
            (path / UNITS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be made ({error}); choose another place") from None
        before = read_json(path / PLAN)
        if before is None:
            write_json(path / PLAN, plan)
            return
        if not isinstance(before, dict):
            raise UserError(f"{path / PLAN}: holds no plan; give another folder")
        for name in sorted(plan.keys() | before.keys()):
            if plan.get(name) != before.get(name):
                raise UserError(
                    f"{path}: holds results with {name} {before.get(name)!r}, not "
                    f"{plan.get(name)!r}; give another folder or the same {name}"
                )

    def done(self, key: Key) -> bool:
        """Tell whether a unit is there."""
        return (self.path / UNITS / key.file).is_file()

    def save(self, key: Key, sums: dict[str, Any]) -> None:
        """Keep a finished unit."""
        write_json(self.path / UNITS / key.file, {"key": asdict(key), **sums})

    def units(self) -> Iterator[tuple[Key, dict[str, Any]]]:
        """Yield what is there, in the order of the files' names."""
        for path in sorted((self.path / UNITS).glob("*.json")):
            unit = read_json(path)
            try:
                key = Key(**unit["key"])
            except (KeyError, TypeError):
                raise UserError(f"{path}: is no finished unit; delete it and run again") from None
            yield key, {name: part for name, part in unit.items() if name != "key"}


def read_json(path: Path) -> Any:
    """Read JSON; None where there is no such file. Raises :class:`~vrex.UserError`."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and run again") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with files.whole(path) as unfinished:
        unfinished.write_text(text)
