"""What a burst asks of the memory, and the walk through its beats."""

from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.memory.layouts import ID_BITS, Sizes


@dataclass(frozen=True)
class Layouts:
    """What passes inside a memory of ``lines`` lines."""

    config: Config
    lines: int

    @property
    def command(self) -> data.StructLayout:
        """A burst; ``failed``: it answers SLVERR and touches nothing."""
        address = self.config.kvmu.address_bits
        return data.StructLayout(
            {"id": ID_BITS, "address": address, "length": 8, "size": 3, "failed": 1}
        )

    @property
    def beat(self) -> data.StructLayout:
        """A beat: the line that it is in, and where there."""
        return data.StructLayout(
            {
                "id": ID_BITS,
                "line": bits_for(self.lines - 1),
                "part": exact_log2(Sizes(self.config).beats),
                "response": axi.RESPONSE_BITS,
                "last": 1,
            }
        )


def command(bus: Any, prefix: str, fault: Any, layout: data.StructLayout) -> Any:
    """Return the burst that is on the ``aw`` or ``ar`` of ``bus`` as a value of ``layout``.

    It fails if it is a ``fault``, or against the rules: not INCR, wider than the bus, over a page.
    """
    at = {name: getattr(bus, prefix + name) for name in ("id", "addr", "len", "size", "burst")}
    widest = exact_log2(bus.signature.data_bytes)
    places = exact_log2(axi.PAGE)
    inside = (at["addr"][:places] >> at["size"]) << at["size"]
    end = inside + ((at["len"] + 1) << at["size"])
    illegal = (at["burst"] != axi.INCREMENT) | (at["size"] > widest) | (end > axi.PAGE)
    return Cat(at["id"], at["addr"], at["len"], at["size"], fault | illegal)


class Walk(wiring.Component):
    """Gives each burst of ``i`` as its beats: 1 cycle, and a beat a cycle."""

    def __init__(self, config: Config, lines: int) -> None:
        """``lines`` of the memory."""
        self._sizes, self._lines, layouts = Sizes(config), lines, Layouts(config, lines)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.command)),
                "o": Out(stream.Signature(layouts.beat)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Hold the address and the beats that are left."""
        m = Module()
        valid, left, beat = Signal(), Signal(self.i.p.shape()), self.o.p
        bus, line = exact_log2(self._sizes.bus_bytes), exact_log2(self._sizes.line_bytes)
        nothing = (left.address >> line) >= self._lines
        m.d.comb += [
            self.o.valid.eq(valid),
            beat.id.eq(left.id),
            beat.line.eq(left.address[line:]),
            beat.part.eq(left.address[bus:line]),
            beat.last.eq(left.length == 0),
            beat.response.eq(
                Mux(
                    left.failed,
                    axi.Response.SLVERR,
                    Mux(nothing, axi.Response.DECERR, axi.Response.OKAY),
                )
            ),
            self.i.ready.eq(~valid | (self.o.ready & beat.last)),
        ]
        with m.If(self.i.ready):
            m.d.sync += [valid.eq(self.i.valid), left.eq(self.i.p)]
        with m.Elif(self.o.ready):
            m.d.sync += [
                left.length.eq(left.length - 1),
                left.address.eq(left.address + (1 << left.size)),
            ]
        return m
