"""A row of the DPE: one tree and its tile registers."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.dpe.layouts import BF16, FP32
from vrex_hw.dpe.tree import Tree, latency

GROUP = 8
"""Words whose writes a simulator passes over at once: most loads write none of them."""


class Row(wiring.Component):
    """A :class:`~vrex_hw.dpe.tree.Tree` whose ``b`` is one of two banks of tile registers.

    ``bank`` comes with ``a``, ``live`` and ``acc``; ``out`` follows ``latency`` cycles later.
    Where ``write[j]`` is set, input j of bank ``write_bank`` is written, with ``row[j]``, or,
    if ``column`` is set, with ``words[j % load_rows]``; a beat in the next cycle sees it.

    Parameters
    ----------
    width, window : of the tree.
    load_rows : words that a column-wise load brings.
    """

    def __init__(self, width: int, window: int, load_rows: int) -> None:
        """Size the ports."""
        self._width, self._window = width, window
        self._load_rows = load_rows
        row = data.ArrayLayout(BF16, width)
        super().__init__(
            {
                "write": In(width),
                "write_bank": In(1),
                "column": In(1),
                "row": In(row),
                "words": In(data.ArrayLayout(BF16, load_rows)),
                "bank": In(1),
                "live": In(width),
                "a": In(row),
                "acc": In(FP32),
                "out": Out(FP32),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result."""
        return latency(self._width)

    def elaborate(self, platform: Any) -> Module:
        """Two registers an input; the bank is chosen in front of the tree."""
        m = Module()
        m.submodules.tree = tree = Tree(self._width, self._window)
        for j in range(tree.width):
            first = j - j % GROUP
            some = self.write[first : first + GROUP].any()
            word = Mux(self.column, self.words[j % self._load_rows], self.row[j])
            banks = [Signal(BF16, name=f"bank{k}_{j}", reset_less=True) for k in range(2)]
            for k, held in enumerate(banks):
                chosen = self.write[j] & (self.write_bank == k)
                # A choice of m.If would be evaluated whenever an input changes, not once a cycle.
                m.d.sync += held.eq(Mux(some, Mux(chosen, word, held), held))
            m.d.comb += tree.b[j].eq(Mux(self.bank, banks[1], banks[0]))
        m.d.comb += [
            tree.a.eq(self.a),
            tree.live.eq(self.live),
            tree.acc.eq(self.acc),
            self.out.eq(tree.out),
        ]
        return m
