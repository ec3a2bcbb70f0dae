"""Counts the cycles of each command, and where they went."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import CYCLE_BITS, Layouts

REASONS = ("no_matrix", "no_activation", "no_output", "no_result")
DEPTH = 4


class Report(wiring.Component):
    """Gives one beat on ``report`` for each command (:attr:`Layouts.report`).

    ``active``: a pass is at the issuer; ``kind``: its command's; ``issued``: a beat goes; one of
    the reasons if not; ``done``: it is the command's last. ``refused`` reports a command that
    was not done, of ``refused_kind``, and is ``taken`` when there is room; meanwhile no command
    ends, as ``room`` is low. Latency 1 cycle; counters stop at no bound and wrap.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the streams of ``config``."""
        self._layout = Layouts(config).report
        kind = self._layout["kind"].shape
        members: dict[str, Any] = {name: In(1) for name in REASONS}
        members |= {name: In(1) for name in ("active", "issued", "done", "refused")}
        members |= {"kind": In(kind), "refused_kind": In(kind), "room": Out(1), "taken": Out(1)}
        super().__init__({**members, "report": Out(stream.Signature(self._layout))})

    def elaborate(self, platform: Any) -> Module:
        """Count, and put the counts into a FIFO at the end of a command."""
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=self._layout.size, depth=DEPTH)
        entry = Signal(self._layout)
        counted = {"cycles": self.active, "beats": self.issued}
        counted |= {name: getattr(self, name) for name in REASONS}
        for name, event in counted.items():
            count = Signal(CYCLE_BITS, name=f"count_{name}")
            following = Signal(CYCLE_BITS, name=f"next_{name}")
            m.d.comb += [following.eq(count + event), entry[name].eq(following)]
            m.d.sync += count.eq(Mux(self.done, 0, following))
        with m.If(self.refused):
            m.d.comb += [entry.eq(0), entry.error.eq(1)]
        m.d.comb += [
            entry.kind.eq(Mux(self.refused, self.refused_kind, self.kind)),
            self.room.eq(fifo.w_rdy & ~self.refused),
            fifo.w_data.eq(entry),
            self.taken.eq(self.refused & fifo.w_rdy),
            fifo.w_en.eq(self.done | self.taken),
            self.report.valid.eq(fifo.r_rdy),
            self.report.p.eq(fifo.r_data),
            fifo.r_en.eq(self.report.ready),
        ]
        return m
