"""One lane's histogram: mass and number of clusters by bin."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.wtu.layouts import Layouts


class Histogram(wiring.Component):
    """Bins in a small memory that is read combinationally (LUT RAM), cleared in one cycle.

    Adding reads, adds and writes within the cycle, so that one cluster a cycle may go into any
    bin, the same one included. Adding and looking share the port: ``bin`` names the bin for both.

    Ports
    -----
    bin : which bin.
    add : add one cluster of ``mass`` to the bin at the end of this cycle.
    clear : forget everything at the end of this cycle; ``add`` is then lost.
    content : what the bin has now, combinational.
    seen : one bit a bin, set where the bin has a cluster.
    """

    def __init__(self, layouts: Layouts) -> None:
        """Take the widths from ``layouts``."""
        self._layouts = layouts
        super().__init__(
            {
                "bin": In(range(layouts.bins)),
                "add": In(1),
                "mass": In(layouts.mass_bits),
                "clear": In(1),
                "content": Out(layouts.bin_lane),
                "seen": Out(layouts.bins),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A memory whose words count only where ``seen`` is set."""
        m = Module()
        shape = self._layouts.bin_lane
        m.submodules.memory = memory = Memory(shape=shape, depth=self._layouts.bins, init=[])
        read = memory.read_port(domain="comb")
        write = memory.write_port()
        seen = Signal()
        m.d.comb += [
            seen.eq(self.seen.bit_select(self.bin, 1)),
            read.addr.eq(self.bin),
            self.content.mass.eq(Mux(seen, read.data.mass, 0)),
            self.content.clusters.eq(Mux(seen, read.data.clusters, 0)),
            write.addr.eq(self.bin),
            write.en.eq(self.add),
            write.data.mass.eq(self.content.mass + self.mass),
            write.data.clusters.eq(self.content.clusters + 1),
        ]
        with m.If(self.clear):
            m.d.sync += self.seen.eq(0)
        with m.Elif(self.add):
            m.d.sync += self.seen.bit_select(self.bin, 1).eq(1)
        return m
