"""A pipelined adder tree."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2


class AdderTree(wiring.Component):
    """Sum of ``inputs`` unsigned numbers of ``bits`` bits each, one sum a cycle.

    Latency log2(inputs): one adder level and one register rank a stage (none for one input).

    Parameters
    ----------
    inputs : how many, a power of two.
    bits : width of each.
    """

    def __init__(self, inputs: int, bits: int) -> None:
        """Raise ValueError when ``inputs`` is no power of two."""
        self._levels = exact_log2(inputs)
        super().__init__(
            {
                "terms": In(data.ArrayLayout(bits, inputs)),
                "total": Out(bits + self._levels),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from ``terms`` to their ``total``."""
        return self._levels

    def elaborate(self, platform: object) -> Module:
        """Halve the number of terms at every level."""
        m = Module()
        terms = list(self.terms)
        for level in range(self._levels):
            sums = []
            for k, (a, b) in enumerate(zip(terms[0::2], terms[1::2], strict=True)):
                total = Signal(len(a) + 1, name=f"level{level}_{k}")
                m.d.sync += total.eq(a + b)
                sums.append(total)
            terms = sums
        m.d.comb += self.total.eq(Cat(terms))
        return m
