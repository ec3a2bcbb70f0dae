"""The table of the head in hand: header, map and open clusters, between memory and its users."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.kvmu.entries import Entries
from vrex_hw.kvmu.layouts import FAULT, HEADER, LINE, Fault
from vrex_hw.kvmu.ports import MapSignature, OpenSignature, ReadSignature, WriteSignature
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.walk import Walk

LOAD = data.StructLayout({"state": LINE})
STORE = data.StructLayout({"state": LINE, "header": HEADER})
LOADED = data.StructLayout({"fault": FAULT, "header": HEADER})
STORED = data.StructLayout({"fault": FAULT})
PENDING = 6
"""Bits of the count of lines that are being written."""


class Table(wiring.Component):
    """Holds one head's header, map and open clusters between a load and a store.

    ``load`` reads the header of ``state``; unless it is busy, or says what cannot be
    (``STATE_OPEN``), it writes it back as busy, reads the map of the sealed clusters and the
    entries of the open ones, and answers on ``loaded``. ``store`` writes them back for the
    ``header`` that it brings, and that header last, when all the rest is written: a state that is
    left half written stays busy. ``map`` and ``open`` are for the units in between; they rest
    while a load or a store runs.

    A load takes the latency of memory three times, and a cycle a line; a store twice. Source: the
    paper's HC table; what is in it, and the busy header, are our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size the memories by ``config``."""
        self._config, self._regions = config, Regions(config)
        super().__init__(
            {
                "load": In(stream.Signature(LOAD)),
                "loaded": Out(stream.Signature(LOADED)),
                "store": In(stream.Signature(STORE)),
                "stored": Out(stream.Signature(STORED)),
                "map": In(MapSignature(config)),
                "open": In(OpenSignature(config)),
                "read": Out(ReadSignature(config)),
                "write": Out(WriteSignature(config)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the states of a load and of a store around the two walks."""
        m = Module()
        m.submodules.entries = entries = Entries(self._config)
        m.submodules.asks = asks = Walk(self._config)
        m.submodules.moves = moves = Walk(self._config)
        connect(m, flipped(self.map), entries.map)
        connect(m, flipped(self.open), entries.open)
        state, header, loading = Signal(LINE), Signal(HEADER), Signal()
        begin = Signal()
        for walk in (asks, moves):
            m.d.comb += [
                walk.begin.eq(begin),
                walk.sealed.eq(header.sealed),
                walk.opened.eq(header.opened),
            ]
        read, write = self.read, self.write
        fault, pending = self._follow(m)
        m.d.comb += [
            write.base.eq(state),
            write.size.eq(self._regions.counts),
            entries.load.p.data.eq(read.line.data),
            entries.load.p.line.eq(moves.line.p),
            entries.save.p.eq(moves.line.p),
        ]
        with m.FSM() as fsm:
            with m.State("REST"):
                m.d.comb += [self.load.ready.eq(1), self.store.ready.eq(~self.load.valid)]
                m.d.sync += [fault.eq(Fault.NONE), loading.eq(self.load.valid)]
                m.d.sync += [state.eq(Mux(self.load.valid, self.load.p.state, self.store.p.state))]
                m.d.sync += header.eq(self.store.p.header)
                with m.If(self.load.valid):
                    m.next = "ASK HEADER"
                with m.Elif(self.store.valid):
                    m.next = "BEGIN"
            with m.State("ASK HEADER"):
                m.d.comb += read.request.valid.eq(1)
                m.d.comb += [read.request.p.address.eq(state), read.request.p.lines.eq(1)]
                with m.If(read.request.ready):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.sync += header.eq(read.line.data.as_value()[: HEADER.size])
                with m.If(read.line.valid):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.next = "ASK MARK"
                with m.If(fault != Fault.NONE):
                    m.next = "ANSWER"
                with m.Elif(impossible(self._config, header)):
                    m.d.sync += fault.eq(Fault.STATE_OPEN)
                    m.next = "ANSWER"
            self._write_header(m, "MARK", "BEGIN", state, header, busy=1)
            with m.State("BEGIN"):
                m.d.comb += begin.eq(1)
                m.next = "SAVE"
                with m.If(loading):
                    m.next = "LOAD"
            with m.State("LOAD"):
                self._ask(m, read.request, asks.line, state, 1)
                m.d.comb += entries.load.valid.eq(read.line.valid)
                m.d.comb += moves.line.ready.eq(read.line.valid)
                with m.If(~moves.line.valid & (pending == 0)):
                    m.next = "ANSWER"
            with m.State("SAVE"):
                self._ask(m, write.request, asks.line, state, ~pending.all())
                m.d.comb += [
                    entries.save.valid.eq(moves.line.valid),
                    moves.line.ready.eq(entries.save.ready),
                    write.line.valid.eq(entries.saved.valid),
                    write.line.p.data.eq(entries.saved.p),
                    write.line.p.mask.eq(~0),
                    entries.saved.ready.eq(write.line.ready),
                ]
                idle = ~asks.line.valid & ~moves.line.valid & ~entries.saved.valid
                with m.If(idle & (pending == 0)):
                    m.next = "ASK CLOSE"
                    with m.If(fault != Fault.NONE):
                        m.next = "ANSWER"
            self._write_header(m, "CLOSE", "SETTLE", state, header, busy=0)
            with m.State("SETTLE"), m.If(pending == 0):
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [self.loaded.valid.eq(loading), self.stored.valid.eq(~loading)]
                with m.If(Mux(loading, self.loaded.ready, self.stored.ready)):
                    m.next = "REST"
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("REST")),
            self.loaded.p.fault.eq(fault),
            self.loaded.p.header.eq(header),
            self.stored.p.fault.eq(fault),
        ]
        return m

    def _follow(self, m: Module) -> tuple[Signal, Signal]:
        """Return the first fault of memory, and how many lines are being written."""
        fault, pending = Signal(FAULT), Signal(PENDING)
        request, done = self.write.request, self.write.done
        m.d.sync += pending.eq(pending + (request.valid & request.ready) - done.valid)
        with m.If(fault == Fault.NONE):
            with m.If(self.read.line.valid & self.read.line.error):
                m.d.sync += fault.eq(Fault.MEMORY_READ)
            with m.If(done.valid & done.error):
                m.d.sync += fault.eq(Fault.MEMORY_WRITE)
            with m.If(done.valid & done.outside):
                m.d.sync += fault.eq(Fault.OUT_OF_BOUNDS)
        return fault, pending

    def _ask(self, m: Module, request: Any, line: Any, state: Any, may: Any) -> None:
        """Send a request for each line of a walk while it ``may``."""
        m.d.comb += [
            request.valid.eq(line.valid & may),
            request.p.address.eq(state + line.p.offset),
            request.p.lines.eq(1),
            line.ready.eq(request.ready & may),
        ]

    def _write_header(
        self, m: Module, name: str, then: str, state: Any, header: Any, *, busy: int
    ) -> None:
        """Add the states that write the header and go on to ``then``."""
        write, side = self.write, self._config.lxe.side
        written = Signal(HEADER, name=f"header_{busy}")
        m.d.comb += [written.eq(header), written.busy.eq(busy)]
        with m.State(f"ASK {name}"):
            m.d.comb += write.request.valid.eq(1)
            m.d.comb += [write.request.p.address.eq(state), write.request.p.lines.eq(1)]
            with m.If(write.request.ready):
                m.next = name
        with m.State(name):
            m.d.comb += [write.line.valid.eq(1), write.line.p.mask.eq((1 << side) - 1)]
            m.d.comb += write.line.p.data.as_value().eq(written.as_value())
            with m.If(write.line.ready):
                m.next = then


def impossible(config: Config, header: Any) -> Any:
    """Return whether a header is busy, or says what no job can have left."""
    return (
        header.busy
        | (header.sealed > config.wtu.entries)
        | (header.opened < header.sealed)
        | (header.opened - header.sealed > config.kvmu.window_slots)
    )
