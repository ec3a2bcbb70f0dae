"""Bench of the WTU: sends rows and compares every selection with the definition's.

Arguments: ``config`` (fields of WTUConfig), ``seed``, ``idle``, ``stall`` and the rows as
:func:`vrex_sim.benches.wtu_wanted.arguments` packs them. Rows with the same settings follow each
other without a pause. Gives back, for each row that was not lost in a reset, ``reads`` (cycles
that read row memory or candidates), ``buckets`` and the cycle of its trailer (``trailers``); also
``first``, the cycle of the first beat, and ``counters``, as they stand at the end.
"""

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Event
from numpy.typing import NDArray

from vrex_hw.config import WTUConfig
from vrex_hw.wtu.layouts import Layouts
from vrex_hw.wtu.wtu import COUNTERS
from vrex_sim.benches.wtu_rows import RESET_NEVER, unpack
from vrex_sim.compare import equal
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


class Scoreboard:
    """Collects a row's hits beat by beat and compares at its trailer."""

    def __init__(self, tb: Bench, config: WTUConfig) -> None:
        """``tb`` has the device, which was generated for ``config``."""
        self.tb, self.config = tb, config
        self.expected: list[tuple[int, NDArray[np.bool_]]] = []
        self._answered = Event()
        self.trailers: list[int] = []
        self.reads: list[int] = []
        self.buckets: list[int] = []
        self._counted = (0, 0)
        self._hits: list[int] = []

    async def all_answered(self) -> None:
        """Wait until no row is expected any more."""
        while self.expected:
            self._answered.clear()
            await self._answered.wait()

    def forget(self) -> None:
        """Drop the row that a reset cut off; the counters begin at zero again."""
        self.expected.clear()
        self._hits.clear()
        self._counted = (0, 0)

    def beat(self, packed: int, cycle: int) -> None:
        """Take one beat of ``selected``."""
        lanes, width = self.config.lanes, self.config.word_bits + 1
        tail = packed >> lanes * width
        number, error, last = tail & 0xFFFF, tail >> 16 & 1, tail >> 17
        for lane in range(lanes):
            entry = packed >> lane * width & (1 << width) - 1
            if entry & 1:
                self._hits.append((entry >> 1) * lanes + lane)
        if last:
            self._compare(number, error, cycle)
            self.trailers.append(cycle)
            reads, buckets = self.tb.get("reads"), self.tb.get("buckets")
            self.reads.append(reads - self._counted[0])
            self.buckets.append(buckets - self._counted[1])
            self._counted = (reads, buckets)
            self._answered.set()

    def _compare(self, number: int, error: int, cycle: int) -> None:
        if not self.expected:
            raise AssertionError(f"cycle {cycle}: a packet that no row asked for")
        row, wanted = self.expected.pop(0)
        at: dict[str, Any] = {"cycle": cycle, "origin": self.tb.origin}
        got = np.bincount(self._hits, minlength=len(wanted))
        self._hits.clear()
        where = np.flatnonzero(got[: len(wanted)] != wanted)
        if len(where):
            j = int(where[0])
            equal("wtu", "row_selected", (row, j), int(wanted[j]), int(got[j]), **at)
        equal("wtu", "past the row's end", (row,), len(wanted), len(got), **at)
        equal("wtu", "number", (row,), int(wanted.sum()), number, **at)
        equal("wtu", "error", (row,), int(len(wanted) > self.config.entries), error, **at)


@cocotb.test()
async def wtu(dut) -> None:
    """Send all rows, wait for all answers."""
    given = arguments()
    config = WTUConfig(**given["config"])
    tb = Bench(dut, seed=given["seed"], idle=given["idle"], stall=given["stall"])
    shapes = Layouts(config)
    source, sink = tb.source("row", shapes.row), tb.sink("selected", shapes.selected)
    board = Scoreboard(tb, config)
    sink.on_beat = board.beat
    taken: list[int] = []
    source.on_beat = lambda beat, cycle: taken.append(cycle) if not taken else None
    tb.set(ratio=0, k_min=1, k_max=0)
    await tb.reset()
    before = None
    for number, (row, wanted) in enumerate(unpack(given)):
        settings = {"ratio": row.ratio, "k_min": row.k_min, "k_max": row.k_max}
        if settings != before or row.reset != RESET_NEVER:
            await board.all_answered()
            tb.set(**settings)
            before = settings
        board.expected.append((number, wanted))
        beats = list(row.beats(config))
        if row.reset != RESET_NEVER:
            source.send_packed(beats[: len(beats) - (row.reset == 0)])
            await source.drained()
            await tb.cycles(row.reset)
            await tb.restart()
            board.forget()
            before = None
        else:
            source.send_packed(beats)
    await board.all_answered()
    await tb.finish()
    give(
        first=taken[0],
        trailers=np.array(board.trailers),
        reads=np.array(board.reads),
        buckets=np.array(board.buckets),
        counters={name: tb.get(name) for name in COUNTERS},
    )
