"""The maximum over lanes, in the order of fp32 numbers."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.vpe import fp32

NONE = 0
"""The key of no number: below that of every number."""


def key(number: Value) -> Value:
    """Return 32 bits that order as unsigned integers just as fp32 numbers do (-0 below +0)."""
    return Mux(number[-1], ~number, Cat(number[:-1], 1))[:32]


def from_key(bits: Value) -> Value:
    """Return the fp32 number of a key; that of :data:`NONE` is a NaN, though not canonical."""
    return Mux(bits[-1], Cat(bits[:-1], 0), ~bits)[:32]


class Maximum(wiring.Component):
    """The largest of the live ``values``, as a ``key``, one a cycle.

    fp32 numbers; NaN and lanes that are not live take no part, and with nothing left ``key`` is
    :data:`NONE`. For a minimum flip the signs of the values and of the result. Latency:
    ceil(log2(width) / levels) cycles. Source: the paper's VPE has a maximum; the form is ours.

    Parameters
    ----------
    width : lanes, 2 or more.
    levels : levels of comparators in a stage, 1 or more.
    """

    def __init__(self, width: int, levels: int = 1) -> None:
        """Raise ValueError for a size out of bounds."""
        if width < 2:
            raise ValueError(f"maximum: width is {width}: it must be 2 or more")
        if levels < 1:
            raise ValueError(f"maximum: levels is {levels}: it must be 1 or more")
        self._levels = levels
        self.latency = -(-ceil_log2(width) // levels)
        super().__init__(
            {"values": In(data.ArrayLayout(32, width)), "live": In(width), "key": Out(32)}
        )

    def elaborate(self, platform: Any) -> Module:
        """Compare in pairs until one is left."""
        m = Module()
        keys: list[Value] = []
        for value, live in zip(self.values, self.live, strict=True):
            counts = live & ~fp32.is_nan(fp32.FP32(value))
            entry = Signal(32, name=f"entry{len(keys)}")
            m.d.comb += entry.eq(Mux(counts, key(value), NONE))
            keys.append(entry)
        group = 1 << self._levels
        for stage in range(self.latency):
            chosen = []
            for k in range(0, len(keys), group):
                winner = Signal(32, name=f"stage{stage}_{k // group}", reset_less=True)
                m.d.sync += winner.eq(_largest(keys[k : k + group]))
                chosen.append(winner)
            keys = chosen
        m.d.comb += self.key.eq(keys[0])
        return m


def _largest(keys: Sequence[Value]) -> Value:
    if len(keys) == 1:
        return keys[0]
    half = len(keys) // 2
    a, b = _largest(keys[:half]), _largest(keys[half:])
    return Mux(a > b, a, b)
