"""Gives a sealed cluster's lines to the host, and its keys to the mean unit as well."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.fork import Fork
from vrex_hw.kvmu.layouts import line_layout
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer.layouts import job_layout
from vrex_hw.vpe.mean import key_layout


class Splitter(wiring.Component):
    """Every line of ``line`` goes to ``give``; of each token the first half, its key, to ``key``.

    ``job`` is held from its first line to its last. No latency, a line a cycle;
    ``given`` pulses with a line that ``give`` takes. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        line = line_layout(config.lxe.side)
        super().__init__(
            {
                "job": In(job_layout(config)),
                "line": In(stream.Signature(line)),
                "give": Out(stream.Signature(line)),
                "key": Out(stream.Signature(key_layout(config))),
                "given": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count the lines of a token; values are not for the mean unit, which need not be ready."""
        m = Module()
        m.submodules.fork = fork = Fork(line_layout(self._config.lxe.side))
        chunk, value = Signal(Regions(self._config).chunk_bits), Signal()
        last = chunk == (1 << self.job.chunks_log2) - 1
        with m.If(self.line.valid & self.line.ready):
            m.d.sync += [chunk.eq(Mux(last, 0, chunk + 1)), value.eq(value ^ last)]
        connect(m, flipped(self.line), fork.i)
        connect(m, fork.o[0], flipped(self.give))
        m.d.comb += [
            self.key.valid.eq(fork.o[1].valid & ~value),
            self.key.p.data.eq(fork.o[1].p),
            fork.o[1].ready.eq(self.key.ready | value),
            self.given.eq(self.give.valid & self.give.ready),
        ]
        return m
