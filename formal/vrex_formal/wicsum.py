"""WiCSum's sorted definition (docs/algorithm.md, steps and stop rule) for a whole row at once.

It sorts nothing. A cluster's rank is the number of clusters before it in the order, so it is
selected exactly if the walk has not stopped at the clusters before it. The stop rule, once true,
stays true further down (neither t nor Acc ever falls), which makes the two the same thing; a test
compares this module with the plain walk down a sorted list.
"""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_formal.rules import total
from vrex_hw.config import NUMBER_BITS


class SortedDefinition(wiring.Component):
    """Combinational: which clusters of a row the sorted definition selects.

    ``row`` has one element a cluster, number = position; an element with ``valid`` 0 takes no
    part. ``ratio`` is in units of 2^-16; ``hits`` has one bit a cluster.
    """

    def __init__(self, clusters: int, weight_bits: int, count_bits: int) -> None:
        """``clusters`` is 1 or more; the widths are in bits."""
        element = data.StructLayout({"weight": weight_bits, "count": count_bits, "valid": 1})
        super().__init__(
            {
                "row": In(data.ArrayLayout(element, clusters)),
                "ratio": In(NUMBER_BITS + 1),
                "k_min": In(NUMBER_BITS),
                "k_max": In(NUMBER_BITS),
                "hits": Out(clusters),
            }
        )
        self._mass_bits = weight_bits + count_bits + clusters.bit_length()

    def elaborate(self, platform: object) -> Module:
        """Rank every cluster and ask whether the walk gets to it."""
        m = Module()
        clusters = range(len(self.hits))
        row = [self.row[i] for i in clusters]
        mass = [Signal(self._mass_bits, name=f"mass{i}") for i in clusters]
        m.d.comb += [mass[i].eq(row[i].valid * row[i].weight * row[i].count) for i in clusters]
        threshold = Signal(self._mass_bits + NUMBER_BITS + 1)
        m.d.comb += threshold.eq(self.ratio * total(mass))
        for i in clusters:
            before = [self._before(row, j, i) for j in clusters]
            rank = Signal(range(len(self.hits) + 1), name=f"rank{i}")
            above = Signal(self._mass_bits, name=f"above{i}")
            m.d.comb += [
                rank.eq(total(before)),
                above.eq(total([b * x for b, x in zip(before, mass, strict=True)])),
            ]
            crossed = (above << NUMBER_BITS) > threshold
            stopped = (rank >= self.k_max) | ((rank >= self.k_min) & crossed)
            m.d.comb += self.hits[i].eq(row[i].valid & ((rank == 0) | ~stopped))
        return m

    @staticmethod
    def _before(row: list, j: int, i: int) -> Value:
        """Return 1 where cluster ``j`` comes before ``i``: heavier, or equal and lower."""
        heavier = row[j].weight > row[i].weight
        tie = (row[j].weight == row[i].weight) if j < i else 0
        return row[j].valid & (heavier | tie)
