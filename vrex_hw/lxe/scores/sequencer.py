"""Reads batches of scores, one beat a cycle, from row to row and from batch to batch."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import COLUMN_BITS, MAP_BITS, Layouts, ScoreMap


def beat_layout(config: Config) -> data.StructLayout:
    """Return the layout of an order to read ``wtu.lanes`` scores of a row.

    ``line``: row of the memories; ``beat``: number within the row; ``number``: clusters of it.
    ``last``: of the row; ``final``: of the batch. ``probe``: only look for the largest
    difference; ``probed``: use the one that was found.
    """
    lxe, wtu = config.lxe, config.wtu
    return data.StructLayout(
        {
            "probe": 1,
            "probed": 1,
            "bank": 1,
            "line": range(2 * lxe.score_rows),
            "beat": wtu.word_bits,
            "number": range(wtu.lanes + 1),
            "last": 1,
            "final": 1,
            "map": MAP_BITS,
            "temperature": 4,
        }
    )


def later(m: Module, flag: Any, cycles: int) -> Any:
    """Return the bit ``flag`` as it was ``cycles`` ago, 0 after a reset."""
    if cycles == 0:
        return flag
    before = Signal(cycles)
    m.d.sync += before.eq(Cat(flag, before))
    return before[-1]


class Sequencer(wiring.Component):
    """Turns each batch of ``drain`` into the beats of its rows, without a cycle in between.

    ``goes``: there is a ``beat`` in this cycle.

    A batch begins ``settle`` cycles after it was taken or later: by then all that was written
    before is in the memories. A beat goes where ``credits`` beats or fewer have not been ``taken``
    from the output. Rows of ``huge`` banks under shift_min go twice: the first time to find the
    largest difference that does not overflow; the second time follows ``found``, a pulse.
    Latency 0. Source: our decision.
    """

    def __init__(self, config: Config, settle: int, credits: int) -> None:
        """``settle`` and ``credits`` are 1 or more."""
        self._config, self._settle, self._credits = config, settle, credits
        super().__init__(
            {
                "drain": In(stream.Signature(Layouts(config).drain)),
                "goes": Out(1),
                "beat": Out(beat_layout(config)),
                "taken": In(1),
                "huge": In(2),
                "found": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count beats, rows and credits."""
        m = Module()
        job, settled, pop = self._queue(m)
        beat, row = Signal.like(job.last), Signal.like(job.last_row)
        room = Signal(range(self._credits + 1), init=self._credits)
        looked, waiting = Signal(), Signal()
        probed, goes = Signal(), self.goes
        at_last, spends = beat == job.last, goes & ~self.beat.probe
        m.d.comb += [
            probed.eq((job.map == ScoreMap.SHIFT_MIN) & self.huge.bit_select(job.bank, 1)),
            goes.eq(settled & ~waiting & (room != 0)),
            pop.eq(spends & self.beat.final),
            self.beat.probe.eq(probed & ~looked),
            self.beat.probed.eq(probed),
            self.beat.bank.eq(job.bank),
            self.beat.line.eq(row + job.bank * self._config.lxe.score_rows),
            self.beat.beat.eq(beat),
            self.beat.number.eq(Mux(at_last, job.rest, self._config.wtu.lanes)),
            self.beat.last.eq(at_last),
            self.beat.final.eq(at_last & (row == job.last_row)),
            self.beat.map.eq(job.map),
            self.beat.temperature.eq(job.temperature),
        ]
        m.d.sync += room.eq(room + self.taken - spends)
        with m.If(goes):
            m.d.sync += beat.eq(Mux(at_last, 0, beat + 1))
        with m.If(goes & at_last & self.beat.probe):
            m.d.sync += waiting.eq(1)
        with m.Elif(goes & at_last):
            m.d.sync += [looked.eq(0), row.eq(Mux(self.beat.final, 0, row + 1))]
        with m.If(self.found):
            m.d.sync += [waiting.eq(0), looked.eq(1)]
        return m

    def _queue(self, m: Module) -> tuple[Any, Signal, Signal]:
        """Return the batch in turn, if it may begin, and a signal that ends it."""
        lanes, lane_bits = self._config.wtu.lanes, self._config.wtu.lane_bits
        drain = self.drain.p
        layout = data.StructLayout(
            {
                "bank": 1,
                "last_row": drain.rows.shape(),
                "last": COLUMN_BITS - lane_bits,
                "rest": range(lanes + 1),
                "map": MAP_BITS,
                "temperature": 4,
            }
        )
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=2)
        entry, none = layout(queue.w_data), drain.columns == 0
        rest = drain.columns[:lane_bits]
        settled, pop, takes = Signal(range(3)), Signal(), Signal()
        m.d.comb += [
            entry.bank.eq(drain.bank),
            entry.last_row.eq(drain.rows - 1),
            entry.last.eq(Mux(none, 0, (drain.columns - 1) >> lane_bits)),
            entry.rest.eq(Mux(none | rest.any(), rest, lanes)),
            entry.map.eq(drain.map),
            entry.temperature.eq(drain.temperature),
            self.drain.ready.eq(queue.w_rdy),
            takes.eq(self.drain.valid & queue.w_rdy),
            queue.w_en.eq(takes),
            queue.r_en.eq(pop),
        ]
        m.d.sync += settled.eq(settled + later(m, takes, self._settle - 1) - pop)
        return layout(queue.r_data), settled != 0, pop
