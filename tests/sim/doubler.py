"""A device for testing the testbench: doubles values, and misbehaves on request."""

from amaranth import Module, unsigned
from amaranth.back import verilog
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

INPUT = data.StructLayout({"value": 16, "pair": data.ArrayLayout(unsigned(2), 2), "last": 1})
OUTPUT = data.StructLayout(
    {"value": 17, "pair": data.ArrayLayout(unsigned(2), 2), "last": 1, "wide": 60}
)
FAULTS = ("none", "drops_valid", "changes_payload", "wrong_value", "swallows")


class Doubler(wiring.Component):
    """One register deep. ``fault`` names what it does wrong."""

    i: In(stream.Signature(INPUT))
    o: Out(stream.Signature(OUTPUT))

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def elaborate(self, platform):
        m = Module()
        free = ~self.o.valid | self.o.ready
        m.d.comb += self.i.ready.eq(free)
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                self.o.p.value.eq(self.i.p.value << 1),
                self.o.p.pair.eq(self.i.p.pair),
                self.o.p.last.eq(self.i.p.last),
                self.o.p.wide.eq(~0),
            ]
            if self.fault == "wrong_value":
                with m.If(self.i.p.value == 77):
                    m.d.sync += self.o.p.value.eq(1)
            if self.fault == "swallows":
                with m.If(self.i.p.value == 0):
                    m.d.sync += self.o.valid.eq(0)
        with m.Else():
            if self.fault == "drops_valid":
                m.d.sync += self.o.valid.eq(0)
            if self.fault == "changes_payload":
                m.d.sync += self.o.p.value.eq(self.o.p.value + 1)
        return m


def emit(fault="none"):
    return verilog.convert(Doubler(fault), name="doubler")
