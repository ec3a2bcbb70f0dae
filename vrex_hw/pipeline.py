"""What travels beside a pipeline: a value some cycles later."""

from typing import Any

from amaranth import Module, Signal


def delay(m: Module, value: Any, stages: int, name: str, *, reset: bool = False) -> Any:
    """Return ``value`` (a Value or a View) ``stages`` cycles later, through flip-flops.

    They are called ``name`` and a number. Only with ``reset`` do they start from 0; without it
    they start with anything, which is right for what counts beside a valid bit alone.
    """
    for stage in range(1, stages + 1):
        later = Signal.like(value, name=f"{name}_{stage}", reset_less=not reset)
        m.d.sync += later.eq(value)
        value = later
    return value
