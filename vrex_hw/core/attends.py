"""Which jobs still attend, and the bank of segments and transient slots that each of them holds."""

from typing import Any

from amaranth import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.kvmu.layouts import LINE

BANKS = 2


class Attends(wiring.Component):
    """Two banks, which jobs take in turn and leave in the same order.

    ``free``: the next bank, ``bank``, can be taken; ``take`` takes it for a job of the head whose
    state is ``own``. ``freed`` pulses when the oldest has ended. ``same``: a job of the head
    ``asked`` holds a bank; ``some``: any does. Source: our decision.
    """

    def __init__(self) -> None:
        """Start with both free."""
        flags = {name: Out(1) for name in ("bank", "free", "same", "some")}
        super().__init__(
            {"own": In(LINE), "asked": In(LINE), "take": In(1), "freed": In(1), **flags}
        )

    def elaborate(self, platform: Any) -> Module:
        """Keep what holds each bank."""
        m = Module()
        held, oldest = Signal(BANKS), Signal()
        states = Array(Signal(LINE, name=f"state{bank}") for bank in range(BANKS))
        m.d.comb += [
            self.free.eq(~held.bit_select(self.bank, 1)),
            self.some.eq(held.any()),
            self.same.eq(
                (held[0] & (states[0] == self.asked)) | (held[1] & (states[1] == self.asked))
            ),
        ]
        with m.If(self.take):
            m.d.sync += [
                self.bank.eq(~self.bank),
                states[self.bank].eq(self.own),
                held.bit_select(self.bank, 1).eq(1),
            ]
        with m.If(self.freed):
            m.d.sync += [oldest.eq(~oldest), held.bit_select(oldest, 1).eq(0)]
        return m
