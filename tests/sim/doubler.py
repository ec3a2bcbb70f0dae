"""A device for testing the testbench: doubles values, and misbehaves on request."""

import functools

from amaranth import Module, unsigned
from amaranth.back import verilog
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

INPUT = data.StructLayout({"value": 16, "pair": data.ArrayLayout(unsigned(2), 2), "last": 1})
OUTPUT = data.StructLayout(
    {"value": 17, "pair": data.ArrayLayout(unsigned(2), 2), "last": 1, "wide": 60}
)


class Fault(enum.Enum, shape=3):
    """What it does wrong."""

    NONE = 0
    DROPS_VALID = 1
    CHANGES_PAYLOAD = 2
    WRONG_VALUE = 3
    """Of 77."""
    SWALLOWS = 4
    """The beat of 0."""
    DEAF = 5
    """Takes nothing."""
    REPEATS = 6
    """Gives a beat more behind that of 0."""


class Doubler(wiring.Component):
    """One register deep; ``fault`` chooses what it does wrong."""

    fault: In(Fault)
    i: In(stream.Signature(INPUT))
    o: Out(stream.Signature(OUTPUT))

    def elaborate(self, platform):
        m = Module()
        free = ~self.o.valid | self.o.ready
        m.d.comb += self.i.ready.eq(free & (self.fault != Fault.DEAF))
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & self.i.ready),
                self.o.p.value.eq(self.i.p.value << 1),
                self.o.p.pair.eq(self.i.p.pair),
                self.o.p.last.eq(self.i.p.last),
                self.o.p.wide.eq(~0),
            ]
            with m.If((self.fault == Fault.WRONG_VALUE) & (self.i.p.value == 77)):
                m.d.sync += self.o.p.value.eq(1)
            with m.If((self.fault == Fault.SWALLOWS) & (self.i.p.value == 0)):
                m.d.sync += self.o.valid.eq(0)
            with m.If((self.fault == Fault.REPEATS) & self.o.valid & (self.o.p.value == 0)):
                m.d.sync += [self.o.valid.eq(1), self.o.p.value.eq(1)]
        with m.Elif(self.fault == Fault.DROPS_VALID):
            m.d.sync += self.o.valid.eq(0)
        with m.Elif(self.fault == Fault.CHANGES_PAYLOAD):
            m.d.sync += self.o.p.value.eq(self.o.p.value + 1)
        return m


@functools.cache
def emit():
    return verilog.convert(Doubler(), name="doubler")
