"""Judges a job's fields before anything is done for it."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.core.jobs import JOB
from vrex_hw.core.settings import SETTINGS
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.regions import Regions


class Check(wiring.Component):
    """What follows from a job's fields and the settings, and whether they can be (``good``).

    ``rows``: query rows, tokens times group; ``out_lines``: lines from the first of ``out`` to the
    last; ``chunks_log2``: log2 of a key's chunks. A job is good
    if it could be read, has 1 to 65,535 rows and a state that begins on a slot's boundary, and if
    the settings are in their bounds. Latency 2 cycles; two 16 by 16 multipliers.
    """

    def __init__(self, config: Config) -> None:
        """Judge by the bounds of ``config``."""
        self._config, self._regions = config, Regions(config)
        super().__init__(
            {
                "job": In(JOB),
                "settings": In(SETTINGS),
                "rows": Out(16),
                "out_lines": Out(LINE),
                "chunks_log2": Out(4),
                "good": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Multiply, compare."""
        m = Module()
        config, regions = self._config, self._regions
        job, settings, side = self.job.descriptor, self.settings, self._config.lxe.side
        product, before = Signal(32), Signal(LINE)
        chunks, whole, within = Signal(16), Signal(), Signal()
        m.d.comb += chunks.eq((settings.dimension + (side - 1)) >> exact_log2(side))
        with m.Switch(chunks):
            for log2 in range(regions.chunk_bits + 1):
                with m.Case(1 << log2):
                    m.d.comb += whole.eq(1)
                    m.d.sync += self.chunks_log2.eq(log2)
        m.d.sync += [
            product.eq(job.tokens * job.group),
            before.eq((job.tokens - 1) * job.q_stride),
            self.out_lines.eq(before + (job.group << self.chunks_log2)),
            within.eq(
                ~self.job.broken
                & whole
                & (job.tokens != 0)
                & (job.group != 0)
                & (job.state[: regions.slot_bits] == 0)
                & (settings.dimension <= max(config.head_dims))
                & (settings.n_sinks <= config.kvmu.slot_tokens)
                & (settings.n_hyperplanes != 0)
                & (settings.n_hyperplanes <= config.hcu.hyperplanes)
                & (settings.resident_room <= config.kvmu.resident_slots)
                & (settings.cluster_cap <= config.kvmu.slot_tokens)
                & (settings.join_window <= config.hcu.joinable)
            ),
        ]
        m.d.comb += [self.rows.eq(product), self.good.eq(within & ~product[16:].any())]
        return m
