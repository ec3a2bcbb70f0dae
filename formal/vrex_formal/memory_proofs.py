"""The ports of device memory as a whole: what they put on AXI."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from vrex_formal.channels import Channel
from vrex_formal.memory_part_proofs import CLIENTS, CONFIG, COUNT, Make
from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_sequence,
    at_most,
    constant,
    given,
    held,
    reach,
    sink,
    start,
    taken,
)
from vrex_hw import axi
from vrex_hw.memory import ReadPort, WritePort

NARROW = 9
"""Bits of an address: the proofs of the parts take all of them."""


def _channel(bus: Any, prefix: str) -> Channel:
    """Return a channel of AXI as the rules know it."""
    rest = [
        getattr(bus, name)
        for name in bus.signature.members
        if name.startswith(prefix) and name not in (f"{prefix}valid", f"{prefix}ready")
    ]
    return Channel(
        name=prefix.upper(),
        inward=prefix in ("r", "b"),
        valid=getattr(bus, f"{prefix}valid"),
        ready=getattr(bus, f"{prefix}ready"),
        payload=Cat(Value.cast(value) for value in rest),
    )


def _clients(m: Module, unit: Any) -> None:
    """A request of one or two lines from each client, at an address of 9 bits."""
    for client in unit.client:
        request = client.request
        any_sequence(m, request.valid)
        any_sequence(m, request.p.address, NARROW)
        any_sequence(m, request.p.lines, 2)
        given(m, held(m, request))
        given(m, ~request.valid | (((request.p.lines - 1)[:9]) < 2))
        at_most(m, taken(request), 1)


def _bursts(m: Module, bus: Any, prefix: str) -> None:
    """Prove that what is on AW or AR is a burst of whole lines within a page."""
    channel = _channel(bus, prefix)
    sink(m, channel, channel.name)
    address, length = getattr(bus, f"{prefix}addr"), getattr(bus, f"{prefix}len")
    here, end = channel.valid, address[:12] + ((length + 1) << 2)
    size, kind = getattr(bus, f"{prefix}size"), getattr(bus, f"{prefix}burst")
    always(m, ~here | (end <= axi.PAGE), f"{prefix}: within a page")
    always(m, ~here | (address[:3] == 0) & length[0], f"{prefix}: whole lines")
    always(m, ~here | (size == 2) & (kind == axi.INCREMENT), f"{prefix}: whole beats, ascending")
    reach(m, taken(channel) & (end == axi.PAGE), f"{prefix}: up to a page's end")


def write_port(make: Make = lambda: WritePort(CONFIG, CLIENTS)) -> Module:
    """Two writers with bounds of their own; a memory that takes what comes at any time."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    bus = unit.m_axi
    _clients(m, unit)
    for k, client in enumerate(unit.client):
        any_sequence(m, client.line.valid)
        any_sequence(m, client.line.p.mask)
        given(m, held(m, client.line))
        for name in ("base", "size"):
            m.d.comb += getattr(client, name).eq(constant(m, NARROW, f"{name}_{k}"))
    _bursts(m, bus, "aw")
    sink(m, _channel(bus, "w"), "W")
    _lengths(m, bus)
    _inside(m, unit)
    return m


def _lengths(m: Module, bus: Any) -> None:
    """Prove of any burst: as many beats before WLAST as AWLEN says, in the order of AW."""
    which = constant(m, COUNT, "which")
    addresses, ends, beats = Signal(COUNT), Signal(COUNT), Signal(9)
    length, told, count, ended = Signal(8), Signal(), Signal(9), Signal()
    with m.If(bus.awvalid & bus.awready):
        m.d.sync += addresses.eq(addresses + 1)
        with m.If(addresses == which):
            m.d.sync += [length.eq(bus.awlen), told.eq(1)]
    with m.If(bus.wvalid & bus.wready):
        m.d.sync += [beats.eq(Mux(bus.wlast, 0, beats + 1)), ends.eq(ends + bus.wlast)]
        with m.If(bus.wlast & (ends == which)):
            m.d.sync += [count.eq(beats), ended.eq(1)]
    always(m, ~(told & ended) | (count == length), "W: AWLEN + 1 beats")
    reach(m, told & ended & (which == 1), "W: two bursts")


def _inside(m: Module, unit: Any) -> None:
    """Prove that no address leaves its client's bounds."""
    bus = unit.m_axi
    first, lines = bus.awaddr[3:], (bus.awlen + 1) >> 1
    always(m, ~bus.awvalid | (bus.awid < CLIENTS), "AW: the ID is a client")
    for k, client in enumerate(unit.client):
        within = (first >= client.base) & (first + lines <= client.base + client.size)
        mine = bus.awvalid & (bus.awid == k)
        always(m, ~mine | within, "AW: within the bounds of its client")


def read_port(make: Make = lambda: ReadPort(CONFIG, CLIENTS)) -> Module:
    """Two readers; a memory that answers what it owes, bursts of different clients mixed."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make()
    bus = unit.m_axi
    _clients(m, unit)
    _bursts(m, bus, "ar")
    for name in ("rvalid", "rid", "rresp", "rdata", "rlast"):
        any_sequence(m, getattr(bus, name))
    given(m, held(m, _channel(bus, "r")))
    given(m, bus.rid < CLIENTS)
    always(m, bus.rready, "R: always taken")
    always(m, ~bus.arvalid | (bus.arid < CLIENTS), "AR: the ID is a client")
    flight = Signal(COUNT)
    sent = bus.arvalid & bus.arready
    m.d.sync += flight.eq(flight + sent - (bus.rvalid & bus.rlast))
    for k, client in enumerate(unit.client):
        asked, came, beats = (Signal(6, name=f"{n}_{k}") for n in ("asked", "came", "beats"))
        ends = Signal(6, name=f"ends_{k}")
        here = bus.rvalid & (bus.rid == k)
        mine = sent & (bus.arid == k)
        last = Signal(name=f"last_{k}")
        m.d.sync += [
            asked.eq(asked + Mux(taken(client.request), client.request.p.lines, 0)),
            came.eq(came + client.line.valid),
            beats.eq(beats + Mux(mine, bus.arlen + 1, 0) - here),
            ends.eq(ends + mine - (here & bus.rlast)),
            last.eq(beats == 1),
        ]
        # RLAST at the last beat of all that are owed; elsewhere while others end later.
        given(m, ~here | (beats != 0))
        given(m, ~here | Mux(beats == 1, bus.rlast, ~bus.rlast | (ends > 1)))
        given(m, ~here | (ends != 0))
        always(m, ~client.line.valid | (came < asked), "line: none that nobody asked for")
        always(m, beats <= (asked - came) << 1, "AR: no beat that nobody asked for")
        reach(m, came == 2, f"line: two, client {k}")
        reach(m, client.line.valid & (flight == 0) & (came + 1 == asked), f"line: all, client {k}")
    return m


PROOFS = [
    Proof(
        name="memory-write",
        claim="AW and W hold, AW stays in bounds and pages, AWLEN + 1 beats",
        harness=write_port,
        depth=10,
        effort=30,
    ),
    Proof(
        name="memory-read",
        claim="AR holds and stays in pages; no line or beat that nobody asked for",
        harness=read_port,
        depth=12,
        effort=15,
    ),
]
