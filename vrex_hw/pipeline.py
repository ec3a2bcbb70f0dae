"""Registers of free-running pipelines: a value one cycle later, or some."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import data


def register(m: Module, value: Any, name: str, *, reset: bool = False) -> Signal:
    """Return ``value`` one cycle later, as a plain signal of that name.

    Only with ``reset`` does it start from 0; without it it starts with anything, which is right
    for what counts beside a valid bit alone.
    """
    held = Signal(Value.cast(value).shape(), name=name, reset_less=not reset)
    m.d.sync += held.eq(value)
    return held


def delay(m: Module, value: Any, stages: int, name: str, *, reset: bool = False) -> Any:
    """Return ``value`` (a Value or a View) ``stages`` cycles later, 0 or more.

    The registers are called ``name`` and a number; ``reset`` is that of :func:`register`.
    """
    plain = Value.cast(value)
    for stage in range(1, stages + 1):
        plain = register(m, plain, f"{name}_{stage}", reset=reset)
    # A view of a plain signal: one of a layout would be emitted with a wire for each field.
    return value.shape()(plain) if isinstance(value, data.View) else plain
