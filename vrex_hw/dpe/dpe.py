"""The dot-product engine: ``side`` trees that share their activations."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import LXEConfig
from vrex_hw.dpe.layouts import FP32, beat_layout, load_layout
from vrex_hw.dpe.row import Row
from vrex_hw.dpe.tree import latency
from vrex_hw.hierarchy import place
from vrex_hw.pipeline import register


class DPE(wiring.Component):
    """``side`` trees of ``side`` inputs over a matrix tile in two banks of registers.

    Paper: N_DPE_h trees of N_DPE_w inputs, the matrix tile double-buffered. Ours is square.

    ``load``: where ``valid``, rows k with ``enable[k]`` go into ``bank``. By rows (``column``
    clear), ``rows[k]`` becomes the inputs of tree ``index + k``; by columns, ``rows[k][h]``
    becomes input ``index + k`` of tree h, for every h. ``index`` is a multiple of ``load_rows``
    (its low bits are ignored). A beat given ``load_latency`` cycles later, or more, sees a load,
    an earlier one does not: a bank may be loaded again from the cycle of its last beat on.

    ``beat``: out[h] = acc[h] + the sum of a[j] times input j of tree h in ``bank``, over live j,
    as :class:`~vrex_hw.dpe.tree.Tree` has it, ``latency`` cycles later. A beat every cycle;
    there is no valid: what is not wanted is not looked at.
    """

    def __init__(self, config: LXEConfig) -> None:
        """Size the ports by ``config``."""
        self._config = config
        super().__init__(
            {
                "load": In(load_layout(config)),
                "beat": In(beat_layout(config)),
                "out": Out(data.ArrayLayout(FP32, config.side)),
            }
        )

    @property
    def load_latency(self) -> int:
        """Cycles from a load to the first beat that sees it."""
        return 1

    @property
    def latency(self) -> int:
        """Cycles from a beat to its results."""
        return 1 + latency(self._config.side)

    def _row(self) -> Row:
        return Row(self._config.side, self._config.window, self._config.load_rows)

    def elaborate(self, platform: Any) -> Module:
        """Register the ports once for all rows, decode the load, place the rows."""
        m = Module()
        side, load_rows = self._config.side, self._config.load_rows
        beat = Signal(self.beat.shape(), reset_less=True)
        load = Signal(self.load.shape(), reset_less=True)
        m.d.sync += [beat.eq(self.beat), load.eq(self.load)]
        # Which trees (by rows) or inputs (by columns) the load is for.
        group = self.load.index[exact_log2(load_rows) :]
        chosen = Cat(
            self.load.valid & (group == k // load_rows) & self.load.enable[k % load_rows]
            for k in range(side)
        )
        by_rows = register(m, chosen & (~self.load.column).replicate(side), "by_rows")
        by_columns = register(m, chosen & self.load.column.replicate(side), "by_columns")
        module = f"dpe_row_{side}_{self._config.window}_{load_rows}"
        for h in range(side):
            row = place(m, platform, f"row{h}", module, self._row)
            m.d.comb += [
                row.write.eq(by_columns | by_rows[h].replicate(side)),
                row.write_bank.eq(load.bank),
                row.column.eq(load.column),
                row.row.eq(load.rows[h % load_rows]),
                row.bank.eq(beat.bank),
                row.live.eq(beat.live),
                row.a.eq(beat.a),
                row.acc.eq(beat.acc[h]),
                self.out[h].eq(row.out),
            ]
            for k in range(load_rows):
                m.d.comb += row.words[k].eq(load.rows[k][h])
        return m
