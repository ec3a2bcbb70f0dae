"""The order of events: fill, walk, rounds, emission, trailer."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS
from vrex_hw.wtu.lane import Lane, Source, Task
from vrex_hw.wtu.layouts import Layouts


class Sequencer(wiring.Component):
    """Sends passes through the lanes and decides from each walk what the next pass is.

    A pass is one reading of the stream, the row memory or the candidate buffers. It is followed
    through the lanes by a delay line; the next step waits until its last entry is through.

    Ports
    -----
    row_valid, row_last, row_ready : the row stream without its payload.
    source, task, above, index, store, enable, turn : see :class:`~vrex_hw.wtu.lane.Lane`.
    reading : memory is read in this cycle.
    more : a lane has a candidate in the slot after ``index``.
    overflow : a lane lost a candidate in the pass that just ended.
    arrived, last : a beat of the pass (its last) leaves the lanes.
    start, fresh : start the walk, for the first time in this row.
    done, crossing, whole, clusters : the walk's result.
    octave, digit : move the prefix on to the crossing bin.
    room, reserve, end, ended, number, error : see :class:`~vrex_hw.wtu.emitter.Emitter`.
    """

    def __init__(self, layouts: Layouts, fill_delay: int) -> None:
        """Take widths from ``layouts``.

        ``fill_delay``: cycles from the row's last beat leaving the lanes to the first walk, so
        that the threshold is there when the walk needs it; 1 or more.
        """
        if fill_delay < 1:
            raise ValueError(f"fill_delay is {fill_delay}: 1 or more")
        self._layouts = layouts
        self._fill_delay = fill_delay
        config = layouts.config
        super().__init__(
            {
                "row_valid": In(1),
                "row_last": In(1),
                "row_ready": Out(1),
                "source": Out(Source),
                "task": Out(Task),
                "above": Out(1),
                "reading": Out(1),
                "index": Out(range(max(config.words, config.candidates))),
                "store": Out(1),
                "enable": Out(1),
                "turn": Out(1),
                "more": In(1),
                "overflow": In(1),
                "arrived": Out(1),
                "last": Out(1),
                "start": Out(1),
                "fresh": Out(1),
                "done": In(1),
                "crossing": In(range(layouts.bins)),
                "whole": In(1),
                "clusters": In(layouts.clusters_bits),
                "octave": Out(1),
                "digit": Out(1),
                "room": In(1),
                "reserve": Out(1),
                "end": Out(1),
                "ended": In(1),
                "number": Out(NUMBER_BITS),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One state machine and the delay line of its passes."""
        m = Module()
        issue, last, held, clear = Signal(), Signal(), Signal(), Signal()
        settled = self._delay_line(m, issue, last)
        with m.If(self.task == Task.FILL):
            m.d.comb += self.source.eq(Source.STREAM)
        with m.Elif(held & (self.above | (self.task == Task.ROUND))):
            m.d.comb += self.source.eq(Source.CANDIDATES)
        with m.Else():
            m.d.comb += self.source.eq(Source.ROW)
        m.d.comb += [
            self.fresh.eq(self.task == Task.FILL),
            self.turn.eq(clear | self.octave | self.digit),
        ]
        m.d.sync += clear.eq(self.ended)
        with m.If(issue):
            m.d.sync += self.index.eq(self.index + 1)
        with m.If(self.done):
            self._judge_candidates(m, held)
        self._states(m, issue, last, settled)
        return m

    def _states(self, m: Module, issue: Signal, last: Signal, settled: list[Any]) -> None:
        """Fill, settle, walk, read, settle, walk, read, ..., settle, trailer."""
        words = self._layouts.config.words
        is_fill, is_emit = self.task == Task.FILL, self.task == Task.EMIT
        length = Signal(range(words))
        with m.FSM():
            with m.State("FILL"):
                m.d.comb += [
                    self.row_ready.eq(1),
                    self.store.eq(self.row_valid),
                    issue.eq(self.row_valid),
                    last.eq(self.row_last),
                ]
                with m.If(self.row_valid):
                    m.d.sync += length.eq(self.index)
                    with m.If(self.row_last):
                        m.next = "SETTLE"
                    with m.Elif(self.index == words - 1):
                        m.d.sync += self.error.eq(1)
            with m.State("SETTLE"):
                through = Mux(is_fill, settled[self._fill_delay], settled[1])
                with m.If((is_emit & self.last) | (self.error & through)):
                    m.next = "TRAILER"
                with m.Elif(through):
                    m.d.comb += self.start.eq(1)
                    m.next = "WALK"
            with m.State("WALK"):
                m.d.comb += [
                    self.octave.eq(self.done & is_fill),
                    self.digit.eq(self.done & ~is_fill),
                ]
                with m.If(self.done):
                    m.d.sync += [
                        self.task.eq(Mux(self.whole, Task.EMIT, Task.ROUND)),
                        self.number.eq(self.clusters),
                        self.index.eq(0),
                    ]
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [
                    issue.eq(~is_emit | self.room),
                    last.eq(Mux(self.source == Source.ROW, self.index == length, ~self.more)),
                    self.reading.eq(issue),
                    self.reserve.eq(issue & is_emit),
                ]
                with m.If(issue & last):
                    m.next = "SETTLE"
            with m.State("TRAILER"):
                m.d.comb += self.end.eq(1)
                with m.If(self.ended):
                    m.d.sync += [
                        self.task.eq(Task.FILL),
                        self.index.eq(0),
                        self.number.eq(0),
                        self.error.eq(0),
                    ]
                    m.next = "FILL"

    def _delay_line(self, m: Module, issue: Signal, last: Signal) -> list[Any]:
        """Follow the beats; return the pass's last one, k cycles after it left the lanes.

        An emission's is not followed that far: the next row may be in by then.
        """
        valid, final = issue, issue & last
        for stage in range(1, Lane.LATENCY + 1):
            next_valid, next_final = Signal(), Signal()
            m.d.sync += [next_valid.eq(valid), next_final.eq(final)]
            valid, final = next_valid, next_final
            if stage == Lane.LATENCY - 1:
                m.d.comb += self.enable.eq(valid)
        m.d.comb += [self.arrived.eq(valid), self.last.eq(final)]
        delayed = [self.last & (self.task != Task.EMIT)]
        for _ in range(self._fill_delay):
            later = Signal()
            m.d.sync += later.eq(delayed[-1])
            delayed.append(later)
        return delayed

    def _judge_candidates(self, m: Module, held: Signal) -> None:
        """Note whether the candidates ``held`` all of the crossing bin, and all ``above`` it.

        They do after a fill if nothing was lost and the crossing bin is not below the floor, and
        after a round over the row if nothing was lost. A round over the candidates only drops
        what is out. When the next round has to read the row, it keeps what is above the crossing
        bin if that surely is little: half of what the buffers hold (our decision; lanes differ).
        """
        config, floor = self._layouts.config, self._layouts.floor
        holds = Signal()
        few = self.clusters <= config.lanes * config.candidates // 2
        with m.Switch(self.task):
            with m.Case(Task.FILL):
                m.d.comb += holds.eq(~self.overflow & (self.crossing >= floor))
            with m.Default():
                m.d.comb += holds.eq(held | ~self.overflow)
        m.d.sync += [
            held.eq(holds),
            self.above.eq(Mux(holds, self.above | (self.task == Task.FILL), few)),
        ]
