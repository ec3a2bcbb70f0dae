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

Port = tuple[str, str]
"""A unit and the name of a port of it."""
PREFIXES = {"segments": "list_", "writer": "write_"}
"""What a unit's ports are called by; those of the others keep their names."""
LIST: list[tuple[Port, Port]] = [(("feeder", "segments"), ("segments", "port"))]
AROUND: list[tuple[Port, Port]] = [
    *((("feeder", name), ("lxe", name)) for name in ("command", "activation", "matrix")),
    (("lxe", "attention"), ("writer", "attention")),
]
SETTINGS = ("dimension", "chunks_log2")
"""Inputs of the feeder that are the writer's too."""


class Front(wiring.Component):
    """The feeder and its list, whose ports are called ``list_*``.

    With ``around`` the LXE and the writer (``write_*``) as well: memory to LXE and back.
    """

    def __init__(self, config: Config, *, around: bool = False) -> None:
        """Give it every port that is not connected inside."""
        self._units: dict[str, wiring.Component] = {
            "feeder": Feeder(config),
            "segments": Segments(config),
        }
        self._joins = list(LIST)
        inner = set()
        if around:
            self._units |= {"lxe": LXE(config), "writer": Writer(config)}
            self._joins += AROUND
            inner = {("writer", name) for name in SETTINGS}
        inner |= {port for join in self._joins for port in join}
        self._names = {
            (unit, port): PREFIXES.get(unit, "") + port
            for unit, component in self._units.items()
            for port in component.signature.members
            if (unit, port) not in inner
        }
        members: dict[str, Any] = {
            name: self._units[unit].signature.members[port]
            for (unit, port), name in self._names.items()
        }
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Connect the units, and what is left to the ports."""
        m = Module()
        for name, unit in self._units.items():
            m.submodules[name] = unit
        for (a, out), (b, into) in self._joins:
            connect(m, getattr(self._units[a], out), getattr(self._units[b], into))
        if "writer" in self._units:
            for name in SETTINGS:
                m.d.comb += getattr(self._units["writer"], name).eq(getattr(self, name))
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
