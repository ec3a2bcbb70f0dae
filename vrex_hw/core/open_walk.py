"""The open clusters of the head in hand, one after the other."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import OPEN_ENTRY, SLOT
from vrex_hw.kvmu.ports import OpenSignature

OPEN_CLUSTER = data.StructLayout({"slot": SLOT, "entry": OPEN_ENTRY})


class OpenWalk(wiring.Component):
    """From ``begin`` on gives the clusters from number ``sealed`` to ``opened`` - 1, ascending.

    ``slot`` is the window slot of a cluster, its number modulo the slots. ``busy`` until the last
    has been taken. ``sealed`` and ``opened`` hold meanwhile. A cluster every 2 cycles, the first
    2 after ``begin``. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the window slots of ``config``."""
        self._bits = exact_log2(config.kvmu.window_slots)
        super().__init__(
            {
                "begin": In(1),
                "sealed": In(16),
                "opened": In(16),
                "busy": Out(1),
                "open": Out(OpenSignature(config)),
                "cluster": Out(stream.Signature(OPEN_CLUSTER)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Read an entry, give it, go on."""
        m = Module()
        number, cluster = Signal(16), self.cluster
        m.d.comb += [
            self.open.address.eq(number),
            cluster.p.slot.eq(number[: self._bits]),
            cluster.p.entry.eq(self.open.data),
        ]
        with m.FSM() as fsm:
            with m.State("REST"):
                m.d.sync += number.eq(self.sealed)
                with m.If(self.begin & (self.sealed != self.opened)):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.open.read.eq(1)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += cluster.valid.eq(1)
                with m.If(cluster.ready):
                    m.d.sync += number.eq(number + 1)
                    m.next = "READ"
                    with m.If(number + 1 == self.opened):
                        m.next = "REST"
        m.d.comb += self.busy.eq(~fsm.ongoing("REST"))
        return m
