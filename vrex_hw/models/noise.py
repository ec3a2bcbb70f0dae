"""Chance, the same in every run."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

STATE_BITS = 64


class Noise(wiring.Component):
    """Each of ``ways`` bits of ``o`` is 1 in about ``chance`` of 256 cycles, on its own.

    Marsaglia's xorshift64 (2003), a step a cycle; ``seed`` from 1 to 2^64 - 1.
    """

    def __init__(self, ways: int, seed: int) -> None:
        """``ways``: 8 at most."""
        if not 1 <= seed < 1 << STATE_BITS:
            raise ValueError(f"seed is {seed!r}: it must be from 1 to 2^64 - 1")
        self._ways, self._seed = ways, seed
        super().__init__({"chance": In(8), "o": Out(ways)})

    def elaborate(self, platform: Any) -> Module:
        """Compare a byte of the state for each way."""
        m = Module()
        state = Signal(STATE_BITS, init=self._seed)
        step: Value = state
        for places in (13, -7, 17):
            step = (step ^ (step << places if places > 0 else step >> -places))[:STATE_BITS]
        m.d.sync += state.eq(step)
        m.d.comb += [
            self.o[way].eq(state.word_select(way, 8) < self.chance) for way in range(self._ways)
        ]
        return m
