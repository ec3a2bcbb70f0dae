"""Checks what the host link says of its requests."""

from typing import Any

from amaranth import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINK_COMPLETION, REQUEST, TAG
from vrex_hw.kvmu.link_ledger import completed_layout


class LinkCompletions(wiring.Component):
    """Takes a completion a cycle and tells the ledger of those that belong to a transfer.

    ``asked``: the transfer ``next`` moves so many ``lines``. A completion belongs to the transfer
    whose number is its tag less ``epoch``, if that is one of the ``issued`` ones from ``oldest`` on
    and not ``done``; any other is dropped with a pulse of ``unknown``. Latency 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        """Remember the lines of ``kvmu.outstanding`` transfers."""
        self._places = config.kvmu.outstanding
        self._index = exact_log2(self._places)
        super().__init__(
            {
                "epoch": In(TAG),
                "asked": In(1),
                "lines": In(REQUEST),
                "next": In(TAG),
                "oldest": In(TAG),
                "issued": In(range(self._places + 1)),
                "done": In(self._places),
                "completion": In(stream.Signature(LINK_COMPLETION)),
                "completed": Out(completed_layout(config)),
                "unknown": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Read the lines that were asked for, then compare."""
        m = Module()
        m.submodules.memory = memory = Memory(shape=REQUEST, depth=self._places, init=[])
        asked, answer = memory.write_port(), memory.read_port()
        completion, number = self.completion.p, Signal(TAG)
        here, error, lines = Signal(), Signal(), Signal(REQUEST)
        known, index, out = Signal(), number[: self._index], self.completed
        m.d.comb += [
            asked.en.eq(self.asked),
            asked.addr.eq(self.next),
            asked.data.eq(self.lines),
            self.completion.ready.eq(1),
            answer.addr.eq(completion.tag - self.epoch),
        ]
        m.d.sync += [
            here.eq(self.completion.valid),
            number.eq(completion.tag - self.epoch),
            error.eq(completion.error),
            lines.eq(completion.lines),
        ]
        m.d.comb += [
            known.eq(((number - self.oldest)[:TAG] < self.issued) & ~Array(self.done)[index]),
            self.unknown.eq(here & ~known),
            out.valid.eq(here & known),
            out.index.eq(index),
            out.error.eq(error),
            out.wrong.eq(~error & (lines != answer.data)),
        ]
        return m
