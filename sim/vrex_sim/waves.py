"""Short waveforms: a failing cycle, remembered, and a VCD cut to a window around it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TextIO

FAILURE = "failure.json"
"""File in the directory of a run that holds the :class:`Window` of what failed first."""
STOP_AT = "VREX_STOP_AT"
"""Environment variable: the cycle at which a bench ends a run that is made for its waveform."""
PERIOD = 10
"""Length of a clock cycle in time steps of the VCD (ns)."""
BEFORE, AFTER = 40, 10
"""Cycles that a window shows before and after the failing one."""


@dataclass(frozen=True)
class Window:
    """Cycles of the bench that a waveform shows, and the time at which cycle 0 began (ns)."""

    first_cycle: int
    last_cycle: int
    origin: int

    @classmethod
    def around(cls, cycle: int, origin: int) -> Self:
        """Return the window around ``cycle``."""
        return cls(max(0, cycle - BEFORE), cycle + AFTER, origin)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a window that :meth:`write` wrote."""
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Write the window as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @property
    def times(self) -> tuple[int, int]:
        """First and last time step."""
        first, last = self.first_cycle, self.last_cycle
        return self.origin + first * PERIOD, self.origin + last * PERIOD


def cut(source: Path, target: Path, window: Window) -> None:
    """Copy the VCD ``source`` (a file or a pipe, read to its end) to ``target``, cut to ``window``.

    The header stays; the values that hold when the window opens are written at its first step.
    """
    first, last = window.times
    with source.open() as vcd, target.open("w") as out:
        for line in vcd:
            out.write(line)
            if line.startswith("$enddefinitions"):
                break
        _cut_changes(vcd, out, first, last)


def _cut_changes(vcd: TextIO, out: TextIO, first: int, last: int) -> None:
    now, values, opened = 0, dict[str, str](), False
    for line in vcd:
        if line[0] == "#":
            now = int(line[1:])
            if now >= first and not opened:
                opened = True
                out.write(f"#{first}\n")
                out.writelines(values.values())
            if opened and first < now <= last:
                out.write(line)
        elif not opened:
            values[_identifier(line)] = line
        elif now <= last:
            out.write(line)


def _identifier(change: str) -> str:
    """Return the signal of a change: ``1!`` (one bit) or ``b0101 !`` (a vector)."""
    return change.split()[-1] if change[0] in "bBrR" else change[1:].strip()
