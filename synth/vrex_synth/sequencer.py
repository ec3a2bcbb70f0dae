"""A program of register accesses on AXI4-Lite: the self-test's stand-in for a processor."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.axi import LiteSignature, Response
from vrex_hw.registers import ADDRESS_BITS, KVPU
from vrex_synth.players import MISMATCH


class Kind(enum.IntEnum):
    """What an operation does."""

    END = 0
    WRITE = 1
    CHECK = 2
    WAIT = 3


OPERATION = data.StructLayout({"kind": 2, "address": ADDRESS_BITS, "value": 32})


@dataclass(frozen=True)
class Operation:
    """Write ``value`` to a register, check that it reads as ``value``, or wait for ``proceed``."""

    kind: Kind
    address: int = 0
    value: int = 0

    @property
    def word(self) -> int:
        """The operation as the sequencer's memory holds it."""
        fields = {"kind": self.kind, "address": self.address, "value": self.value}
        return OPERATION.const(fields).as_bits()


def write(register: str, value: int) -> Operation:
    """Return a write to the register of that name."""
    return Operation(Kind.WRITE, KVPU.address[register], value)


def check(register: str, value: int) -> Operation:
    """Return a read of the register of that name, which must give ``value``."""
    return Operation(Kind.CHECK, KVPU.address[register], value)


WAIT = Operation(Kind.WAIT)


class Sequencer(wiring.Component):
    """Does ``program`` once, an operation after the other.

    ``done``: all are done and every check was right. ``failed``: a check read another value, or
    a response was not OKAY; the program then stops, and ``mismatch`` tells which operation.
    """

    def __init__(self, program: Sequence[Operation]) -> None:
        """Take the program; its end is added."""
        self._program = [*program, Operation(Kind.END)]
        super().__init__(
            {
                "bus": Out(LiteSignature(ADDRESS_BITS)),
                "proceed": In(1),
                "done": Out(1),
                "failed": Out(1),
                "mismatch": Out(MISMATCH),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Fetch, do, and go on to the next."""
        m = Module()
        words = [operation.word for operation in self._program]
        m.submodules.program = program = memory.Memory(
            shape=OPERATION, depth=len(words), init=[OPERATION.from_bits(word) for word in words]
        )
        read = program.read_port()
        index = Signal(range(len(words)))
        operation = Signal(OPERATION)
        bus = self.bus
        m.d.comb += [
            read.addr.eq(index),
            bus.awaddr.eq(operation.address),
            bus.araddr.eq(operation.address),
            bus.wdata.eq(operation.value),
            bus.wstrb.eq(0b1111),
            self.mismatch.index.eq(index),
            self.mismatch.expected.eq(operation.value),
        ]
        for valid, ready in (
            (bus.awvalid, bus.awready),
            (bus.wvalid, bus.wready),
            (bus.arvalid, bus.arready),
        ):
            with m.If(valid & ready):
                m.d.sync += valid.eq(0)
        with m.FSM():
            with m.State("fetch"):
                m.next = "decode"
            with m.State("decode"):
                m.d.sync += operation.eq(read.data)
                m.next = "start"
            with m.State("start"), m.Switch(operation.kind):
                with m.Case(Kind.END):
                    m.d.comb += self.done.eq(1)
                with m.Case(Kind.WRITE):
                    m.d.sync += [bus.awvalid.eq(1), bus.wvalid.eq(1)]
                    m.next = "written"
                with m.Case(Kind.CHECK):
                    m.d.sync += bus.arvalid.eq(1)
                    m.next = "answered"
                with m.Case(Kind.WAIT), m.If(self.proceed):
                    m.next = "next"
            with m.State("written"):
                m.d.comb += bus.bready.eq(1)
                with m.If(bus.bvalid):
                    m.d.sync += self.mismatch.got.eq(bus.bresp)
                    self._go_on_if(m, bus.bresp == Response.OKAY)
            with m.State("answered"):
                m.d.comb += bus.rready.eq(1)
                with m.If(bus.rvalid):
                    m.d.sync += self.mismatch.got.eq(bus.rdata)
                    right = (bus.rdata == operation.value) & (bus.rresp == Response.OKAY)
                    self._go_on_if(m, right)
            with m.State("next"):
                m.d.sync += index.eq(index + 1)
                m.next = "fetch"
            with m.State("failed"):
                m.d.comb += self.failed.eq(1)
        return m

    def _go_on_if(self, m: Module, right: Any) -> None:
        with m.If(right):
            m.next = "next"
        with m.Else():
            m.next = "failed"
