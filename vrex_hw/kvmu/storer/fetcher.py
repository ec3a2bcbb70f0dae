"""Asks for a frame's keys and values, token by token."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.ports import BURST_REQUEST
from vrex_hw.kvmu.storer.layouts import job_layout


class Fetcher(wiring.Component):
    """Two bursts a token: the chunks of its key, then those of its value.

    ``start`` pulses with a ``job``, which is held while ``busy``. The first request comes a cycle
    after it, then one a cycle. Whatever happens to the job, all its tokens are read: so many lines
    come as it says. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "request": Out(stream.Signature(BURST_REQUEST)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Step through the tokens; keys and values have a line number each."""
        m = Module()
        job, request = self.job, self.request
        left, value = Signal(16), Signal()
        key_line, value_line, further = Signal(LINE), Signal(LINE), Signal(LINE)
        m.d.comb += [
            self.busy.eq(left != 0),
            request.valid.eq(self.busy),
            request.p.address.eq(Mux(value, value_line, key_line)),
            request.p.lines.eq(1 << job.chunks_log2),
            further.eq(request.p.address + job.kv_stride),
        ]
        with m.If(self.start):
            m.d.sync += [left.eq(job.tokens), value.eq(0)]
            m.d.sync += [key_line.eq(job.k), value_line.eq(job.v)]
        with m.Elif(request.valid & request.ready):
            m.d.sync += value.eq(~value)
            with m.If(value):
                m.d.sync += [value_line.eq(further), left.eq(left - 1)]
            with m.Else():
                m.d.sync += key_line.eq(further)
        return m
