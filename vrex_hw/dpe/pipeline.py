"""Registers of free-running pipelines: no reset, no enable, a new value every cycle."""

from typing import Any

from amaranth.hdl import Module, Signal, Value


def register(m: Module, value: Any, name: str) -> Signal:
    """Return ``value`` one cycle later, of the same shape."""
    held = Signal(Value.cast(value).shape(), name=name, reset_less=True)
    m.d.sync += held.eq(value)
    return held


def delay(m: Module, value: Any, cycles: int, name: str) -> Value:
    """Return ``value`` that many cycles later; ``cycles`` is 0 or more."""
    value = Value.cast(value)
    for cycle in range(cycles):
        value = register(m, value, f"{name}_{cycle + 1}")
    return value
