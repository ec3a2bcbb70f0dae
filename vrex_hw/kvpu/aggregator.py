"""The row aggregator: the union of the rows of a KV head, as ascending cluster numbers."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import WTUConfig
from vrex_hw.kvpu.bank import Bank
from vrex_hw.kvpu.reader import UNION, Reader
from vrex_hw.wtu.layouts import Layouts

JOB = data.StructLayout({"rows": 16})
"""One select job: how many row packets it unites."""


class Aggregator(wiring.Component):
    """Unites the selections of ``rows`` consecutive rows (our decision).

    ``job`` gives the number of row packets, 0 allowed; ``selected`` takes them as the WTU sends
    them; ``union`` gives each selected cluster's number once, ascending, then the trailer
    (``last``): how many there were, and ``error`` if one of the rows was refused (the others are
    united all the same).

    It takes a beat a cycle and never holds up a job while the job before is still read out: there
    are two banks. Reading out takes one cycle for each cluster and for each word of ``lanes``
    clusters without one, up to the power of two above the highest word hit; the first number
    comes 4 cycles after the last row's trailer. After reset it is ready once both banks are
    clear: ``words`` cycles.
    """

    def __init__(self, config: WTUConfig) -> None:
        """Size it for the rows of ``config``."""
        self._config = config
        super().__init__(
            {
                "job": In(stream.Signature(JOB)),
                "selected": In(stream.Signature(Layouts(config).selected)),
                "union": Out(stream.Signature(UNION)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the banks, the side that fills one and the side that reads out the other."""
        m = Module()
        m.submodules.bank0 = bank0 = Bank(self._config)
        m.submodules.bank1 = bank1 = Bank(self._config)
        m.submodules.reader = reader = Reader(self._config)
        filled = Signal()
        self._fill(m, reader, filled)
        self._share(m, bank0, reader, ~filled)
        self._share(m, bank1, reader, filled)
        m.d.comb += reader.bits.eq(Mux(filled, bank0.bits, bank1.bits))
        wiring.connect(m, reader.union, wiring.flipped(self.union))
        return m

    def _fill(self, m: Module, reader: Reader, filled: Signal) -> None:
        """Count the job's rows, note what they hit and hand the bank over at the end."""
        busy, left, beat = Signal(), Signal(16), self.selected.p
        start = reader.start
        hits = [beat.lanes[index] for index in range(self._config.lanes)]
        m.d.comb += [
            self.job.ready.eq(~busy & ~reader.sweeping),
            self.selected.ready.eq(busy & (left != 0)),
            start.valid.eq(busy & (left == 0)),
        ]
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [busy.eq(1), left.eq(self.job.p.rows), start.p.eq(0)]
        with m.If(self.selected.valid & self.selected.ready):
            reach = _any([Mux(lane.hit, lane.word, 0) for lane in hits])
            m.d.sync += start.p.reach.eq(start.p.reach | reach)
            m.d.sync += start.p.some.eq(start.p.some | _any([lane.hit for lane in hits]))
            with m.If(beat.last):
                m.d.sync += [left.eq(left - 1), start.p.error.eq(start.p.error | beat.error)]
        with m.If(start.valid & start.ready):
            m.d.sync += [busy.eq(0), filled.eq(~filled)]

    def _share(self, m: Module, bank: Bank, reader: Reader, fills: Any) -> None:
        """Give ``bank`` to the rows while it ``fills``, to the reader otherwise."""
        reads = reader.sweeping | ~fills
        take = self.selected.valid & self.selected.ready & fills
        for index in range(self._config.lanes):
            lane = self.selected.p.lanes[index]
            m.d.comb += bank.hits[index].hit.eq(take & lane.hit)
            m.d.comb += bank.hits[index].word.eq(lane.word)
        m.d.comb += [
            bank.read.eq(reader.read & reads),
            bank.read_word.eq(reader.read_word),
            bank.clear.eq(reader.clear & reads),
            bank.clear_word.eq(reader.clear_word),
        ]


def _any(values: list[Any]) -> Any:
    """Return the bitwise or of ``values``, as a tree."""
    while len(values) > 1:
        values = [a | b for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
