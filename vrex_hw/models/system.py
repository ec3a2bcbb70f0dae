"""A whole system to try the core in: the core, a device memory and a host link, with knobs."""

import re
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.core import Core
from vrex_hw.core.ports import ACTIVITY
from vrex_hw.generate import verilog
from vrex_hw.models.link import Link
from vrex_hw.models.memory import Memory

TOP = "system"
CHANGE = data.StructLayout({"cycle": 32, "activity": ACTIVITY})
"""What works from ``cycle`` (since reset, modulo 2^32) on."""
CHANGES = 16
"""Changes of activity that wait to be taken."""
_DEPTH = re.compile(r"\.DEPTH\(32'd(\d+)\),[^;]*?\) (storage|host) \(")
OUTSIDE = ("s_axil", "irq", "status", "hash", "weights", "report")


class System(wiring.Component):
    """The core with ``memory_lines`` of device memory and ``link_lines`` of the host's.

    Ports of the core that are not joined inside are here by their names. ``memory_NAME`` and
    ``link_NAME`` are those of :class:`~vrex_hw.models.memory.Memory` and
    :class:`~vrex_hw.models.link.Link`: knobs, faults to order, and the host's way into either.
    ``activity``: a beat (:data:`CHANGE`) whenever what works has changed; a change that finds no
    room waits for the next. Our decision.
    """

    def __init__(
        self, config: Config, memory_lines: int, link_lines: int, *, seed: int = 1
    ) -> None:
        """``seed``, 1 or more, of the pauses of memory and link."""
        self._core = Core(config)
        self._memory = Memory(config, memory_lines, seed=seed)
        self._link = Link(config, link_lines, seed=seed + 1)
        core = self._core.signature.members
        names = [n for n in core if n in OUTSIDE or n.startswith("m_axis")]
        models: dict[str, wiring.Component] = {"memory": self._memory, "link": self._link}
        super().__init__(
            {
                **{name: core[name] for name in names},
                **{
                    f"{model}_{name}": member
                    for model, unit in models.items()
                    for name, member in unit.signature.members.items()
                    if name not in ("s_axi", "core")
                },
                "activity": Out(stream.Signature(CHANGE)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join the three, and watch what works."""
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.memory = memory = self._memory
        m.submodules.link = link = self._link
        connect(m, core.m_axi, memory.s_axi)
        connect(m, core.link, link.core)
        for unit, prefix in ((core, ""), (memory, "memory_"), (link, "link_")):
            for name, member in unit.signature.members.items():
                if prefix + name not in self.signature.members or name == "activity":
                    continue
                mine, inner = getattr(self, prefix + name), getattr(unit, name)
                if member.is_signature:
                    connect(m, inner, flipped(mine))
                else:
                    m.d.comb += mine.eq(inner) if member.flow == Out else inner.eq(mine)
        self._watch(m, core.activity)
        return m

    def _watch(self, m: Module, activity: Any) -> None:
        """Give a beat for each change."""
        m.submodules.changes = changes = SyncFIFO(width=CHANGE.size, depth=CHANGES)
        cycle, told = Signal(32), Signal(ACTIVITY)
        change = CHANGE(changes.w_data)
        m.d.sync += cycle.eq(cycle + 1)
        m.d.comb += [
            change.cycle.eq(cycle),
            change.activity.eq(activity),
            changes.w_en.eq(activity.as_value() != told.as_value()),
            self.activity.valid.eq(changes.r_rdy),
            self.activity.p.eq(changes.r_data),
            changes.r_en.eq(self.activity.ready),
        ]
        with m.If(changes.w_en & changes.w_rdy):
            m.d.sync += told.eq(activity)


def emit(config: Config, memory_lines: int, link_lines: int) -> str:
    """Return the Verilog of a system, module ``system``."""
    return verilog(System(config, memory_lines, link_lines), TOP)


def capacity(verilog: str) -> tuple[int, int]:
    """Return the lines of device memory and of the host that an emitted system has."""
    depths = {name: int(depth) for depth, name in _DEPTH.findall(verilog)}
    return depths["storage"], depths["host"]
