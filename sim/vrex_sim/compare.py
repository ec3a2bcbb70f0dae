"""Comparisons that say where: unit, cycle, tensor index, expected and got.

Inside a bench, call :func:`equal` with the cycle in which the value was taken. On a mismatch it
remembers the cycle, so that :func:`vrex_sim.runner.run` repeats the run with a waveform around it.
"""

from typing import Any

from vrex import HardwareError
from vrex_sim import exchange, waves


class MismatchError(HardwareError):
    """A value from the hardware differs from the reference."""


def describe(
    unit: str, tensor: str, index: tuple[int, ...], expected: Any, got: Any, cycle: int | None
) -> str:
    """Return the one line that every mismatch is told in."""
    where = f"{tensor}[{', '.join(map(str, index))}]"
    when = "" if cycle is None else f", cycle {cycle}"
    return f"{unit}{when}: {where} is {got}, expected {expected}"


def remember(cycle: int, origin: int) -> None:
    """Record the first failing cycle of this run for the waveform; only inside a bench."""
    path = exchange.directory() / waves.FAILURE
    if not path.exists():
        waves.Window.around(cycle, origin).write(path)


def equal(
    unit: str,
    tensor: str,
    index: tuple[int, ...],
    expected: Any,
    got: Any,
    *,
    cycle: int,
    origin: int,
) -> None:
    """Raise :class:`MismatchError` unless ``got`` equals ``expected``; only inside a bench.

    ``tensor`` and ``index`` name the element as a user sees it, ``cycle`` is the bench's cycle in
    which it was taken and ``origin`` the bench's (``Bench.cycle``, ``Bench.origin``).
    """
    if got != expected:
        remember(cycle, origin)
        raise MismatchError(describe(unit, tensor, index, expected, got, cycle))
