"""What travels beside a pipeline: a value some cycles later."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import data


def delay(m: Module, value: Any, stages: int, name: str, *, reset: bool = False) -> Any:
    """Return ``value`` (a Value or a View) ``stages`` cycles later, through flip-flops.

    They are called ``name`` and a number. Only with ``reset`` do they start from 0; without it
    they start with anything, which is right for what counts beside a valid bit alone.
    """
    plain = Value.cast(value)
    for stage in range(1, stages + 1):
        later = Signal(plain.shape(), name=f"{name}_{stage}", reset_less=not reset)
        m.d.sync += later.eq(plain)
        plain = later
    # A view of a plain signal: one of a layout would be emitted with a wire for each field.
    return value.shape()(plain) if isinstance(value, data.View) else plain
