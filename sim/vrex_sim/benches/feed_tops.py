"""What the feeder's benches simulate: it alone with its list of segments, and the way around."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.core.feeder import Feeder
from vrex_hw.core.segments import Segments
from vrex_hw.core.writer import Writer
from vrex_hw.lxe.lxe import LXE


class Front(wiring.Component):
    """The feeder and the list of segments, whose ports are called ``list_*``."""

    def __init__(self, config: Config) -> None:
        """Give it all ports of both but the one between them."""
        self._units = {"feeder": Feeder(config), "segments": Segments(config)}
        self._inner = {("feeder", "segments"), ("segments", "port")}
        super().__init__(self._ports())

    def _ports(self) -> dict[str, Any]:
        """Return the ports of the units that are not connected inside."""
        prefix = {"segments": "list_", "writer": "write_"}
        self._names = {
            (unit, port): prefix.get(unit, "") + port
            for unit, component in self._units.items()
            for port in component.signature.members
            if (unit, port) not in self._inner
        }
        members = {
            name: self._units[at[0]].signature.members[at[1]] for at, name in self._names.items()
        }
        return dict(members)

    def elaborate(self, platform: Any) -> Module:
        """Connect the two, and what is left to the ports."""
        m = Module()
        for name, unit in self._units.items():
            m.submodules[name] = unit
        connect(m, self._units["feeder"].segments, self._units["segments"].port)
        for (name, port), mine in self._names.items():
            inner, outer = getattr(self._units[name], port), getattr(self, mine)
            member = self._units[name].signature.members[port]
            if member.is_signature:
                connect(m, inner, flipped(outer))
            elif member.flow == Out:
                m.d.comb += outer.eq(inner)
            else:
                m.d.comb += inner.eq(outer)
        return m


class Around(Front):
    """Memory to LXE and back: the feeder, its list, the LXE and the writer (``write_*``)."""

    def __init__(self, config: Config) -> None:
        """Give it the ports that lead out."""
        self._units = {
            "feeder": Feeder(config),
            "segments": Segments(config),
            "lxe": LXE(config),
            "writer": Writer(config),
        }
        self._between = [
            ("feeder", "lxe", "command"),
            ("feeder", "lxe", "activation"),
            ("feeder", "lxe", "matrix"),
            ("lxe", "writer", "attention"),
        ]
        self._settings = ("dimension", "chunks_log2")
        self._inner = {("feeder", "segments"), ("segments", "port")}
        self._inner |= {(unit, name) for a, b, name in self._between for unit in (a, b)}
        self._inner |= {("writer", name) for name in self._settings}
        wiring.Component.__init__(self, self._ports())

    def elaborate(self, platform: Any) -> Module:
        """Connect the LXE and the writer too."""
        m = super().elaborate(platform)
        for a, b, name in self._between:
            connect(m, getattr(self._units[a], name), getattr(self._units[b], name))
        for name in self._settings:
            m.d.comb += getattr(self._units["writer"], name).eq(getattr(self, name))
        return m
