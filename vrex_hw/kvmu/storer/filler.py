"""Fills sinks and window with a frame: its tokens read, their places found, their lines copied."""

from typing import Any

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.hcu.layouts import ASSIGNMENT, token
from vrex_hw.kvmu.layouts import FAULT, line_layout
from vrex_hw.kvmu.ports import BURST_REQUEST, OpenSignature
from vrex_hw.kvmu.storer.copier import Copier
from vrex_hw.kvmu.storer.fetcher import Fetcher
from vrex_hw.kvmu.storer.layouts import job_layout, line_write
from vrex_hw.kvmu.storer.placer import Placer


class Filler(wiring.Component):
    """Does the first half of a job: :class:`~vrex_hw.kvmu.storer.Storer` tells what that is.

    ``start`` pulses with a ``job``, which is held while ``busy`` and until the last write.
    ``request`` asks for the frame's lines, ``line`` brings them, ``write`` takes them.
    ``opened``, ``target`` and ``fault`` are the :class:`~vrex_hw.kvmu.storer.placer.Placer`'s.
    When ``busy`` falls and no line is on its way, all has been given to ``write``.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "failed": In(1),
                "assign": In(stream.Signature(ASSIGNMENT)),
                "hash": In(stream.Signature(token(config.hcu))),
                "open": Out(OpenSignature(config)),
                "request": Out(stream.Signature(BURST_REQUEST)),
                "line": In(stream.Signature(line_layout(config.lxe.side))),
                "write": Out(stream.Signature(line_write(config))),
                "fault": Out(FAULT),
                "opened": Out(NUMBER_BITS),
                "target": Out(NUMBER_BITS),
                "stored": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Wire fetcher, placer and copier."""
        m = Module()
        m.submodules.fetcher = fetcher = Fetcher(self._config)
        m.submodules.placer = placer = Placer(self._config)
        m.submodules.copier = copier = Copier(self._config)
        for part in (fetcher, placer, copier):
            m.d.comb += [part.start.eq(self.start), part.job.eq(self.job)]
        connect(m, flipped(self.assign), placer.assign)
        connect(m, flipped(self.hash), placer.hash)
        connect(m, placer.open, flipped(self.open))
        connect(m, fetcher.request, flipped(self.request))
        connect(m, placer.place, copier.place)
        connect(m, flipped(self.line), copier.line)
        connect(m, copier.write, flipped(self.write))
        m.d.comb += [
            placer.failed.eq(self.failed),
            copier.failed.eq(self.failed),
            self.fault.eq(placer.fault),
            self.opened.eq(placer.opened),
            self.target.eq(placer.target),
            self.stored.eq(copier.stored),
            self.busy.eq(fetcher.busy | placer.busy | placer.place.valid),
        ]
        return m
