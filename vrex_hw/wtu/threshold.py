"""The threshold of a row: its ratio times the sum of its masses."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.multiplier import Multiplier
from vrex_hw.wtu.layouts import CHUNK_BITS, RATIO_BITS, Layouts
from vrex_hw.wtu.tree import AdderTree


class Threshold(wiring.Component):
    """Adds up a row's masses as they stream by, then multiplies the sum by the ratio.

    ``threshold`` is floor(ratio * sum / 2^16). Acc * 2^16 > ratio * sum exactly where
    Acc > ``threshold``, because Acc is a whole number.

    Ports
    -----
    masses : the masses of one beat, zero in lanes that take no part.
    add : add them; one beat a cycle.
    last : with ``add``: they are the row's last.
    ratio : units of 2^-16; held until the threshold is there.
    threshold : there :attr:`latency` cycles after the last beat, until the next row's last.
    """

    def __init__(self, layouts: Layouts) -> None:
        """Take the widths from ``layouts``."""
        self._layouts = layouts
        lanes = layouts.config.lanes
        self._tree = AdderTree(lanes, layouts.mass_bits)
        super().__init__(
            {
                "masses": In(data.ArrayLayout(layouts.mass_bits, lanes)),
                "add": In(1),
                "last": In(1),
                "ratio": In(RATIO_BITS),
                "threshold": Out(layouts.sum_bits + 1),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the last beat to ``threshold``."""
        return self._tree.latency + 1 + Multiplier.LATENCY + self._layouts.chunks

    def elaborate(self, platform: object) -> Module:
        """Tree, sum, and a multiplication from the highest chunk down."""
        m = Module()
        chunks = self._layouts.chunks
        m.submodules.tree = tree = self._tree
        m.submodules.multiplier = multiplier = Multiplier(RATIO_BITS, CHUNK_BITS)
        m.d.comb += tree.terms.eq(self.masses)
        add, last = self.add, self.last & self.add
        for _ in range(tree.latency):
            add, last = _next(m, add), _next(m, last)

        total = Signal(self._layouts.sum_bits)
        rest = Signal(chunks * CHUNK_BITS)
        fresh = Signal(init=1)
        so_far = Signal.like(total)
        m.d.comb += so_far.eq(Mux(fresh, 0, total) + tree.total)
        with m.If(add):
            m.d.sync += [total.eq(so_far), fresh.eq(last)]

        left = Signal(range(chunks + 1))
        with m.If(last):
            m.d.sync += [rest.eq(so_far), left.eq(chunks)]
        with m.Elif(left != 0):
            m.d.sync += [rest.eq(rest << CHUNK_BITS), left.eq(left - 1)]
        m.d.comb += [multiplier.a.eq(self.ratio), multiplier.b.eq(rest[-CHUNK_BITS:])]

        taken = left != 0
        for _ in range(Multiplier.LATENCY):
            taken = _next(m, taken)
        scaled = Signal(len(rest) + RATIO_BITS)
        with m.If(last):
            m.d.sync += scaled.eq(0)
        with m.Elif(taken):
            m.d.sync += scaled.eq((scaled << CHUNK_BITS) + multiplier.product)
        m.d.comb += self.threshold.eq(scaled >> CHUNK_BITS)
        return m


def _next(m: Module, value: object) -> Signal:
    """Return a one-bit ``value`` a cycle later."""
    delayed = Signal()
    m.d.sync += delayed.eq(value)
    return delayed
