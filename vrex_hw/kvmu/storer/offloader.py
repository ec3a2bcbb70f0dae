"""Offloads sealed clusters: lines to the host, mean, count and map entry beside them."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.kvmu.layouts import FAULT, LINE, Fault, line_layout
from vrex_hw.kvmu.ports import BURST_REQUEST, MapSignature, OpenSignature, TransferSignature
from vrex_hw.kvmu.storer.layouts import job_layout, line_write
from vrex_hw.kvmu.storer.recorder import Recorder
from vrex_hw.kvmu.storer.sealer import Sealer
from vrex_hw.kvmu.storer.splitter import Splitter
from vrex_hw.vpe.mean import job_layout as mean_job_layout
from vrex_hw.vpe.mean import key_layout, mean_layout


class Offloader(wiring.Component):
    """Does the second half of a job: :class:`~vrex_hw.kvmu.storer.Storer` tells what that is.

    ``start`` pulses with a ``job``, which is held while ``busy``; the clusters from its ``sealed``
    to ``target`` are sealed. ``request`` asks for their slots' lines, ``line`` brings them,
    ``write`` takes means and counts. ``fault``: the
    :class:`~vrex_hw.kvmu.storer.sealer.Sealer`'s, or else a transfer's. ``busy`` falls when every
    transfer has its result and everything was given to ``write``.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "job": In(job_layout(config)),
                "target": In(NUMBER_BITS),
                "failed": In(1),
                "open": Out(OpenSignature(config)),
                "map": Out(MapSignature(config)),
                "transfer": Out(TransferSignature(config)),
                "mean_job": Out(stream.Signature(mean_job_layout(config))),
                "mean_key": Out(stream.Signature(key_layout(config))),
                "mean": In(stream.Signature(mean_layout(config))),
                "request": Out(stream.Signature(BURST_REQUEST)),
                "line": In(stream.Signature(line_layout(config.lxe.side))),
                "write": Out(stream.Signature(line_write(config))),
                "fault": Out(FAULT),
                "sealed": Out(NUMBER_BITS),
                "offloaded": Out(LINE),
                "given": Out(1),
                "recorded": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Wire sealer, splitter and recorder; count the transfers under way."""
        m = Module()
        m.submodules.sealer = sealer = Sealer(self._config)
        m.submodules.splitter = splitter = Splitter(self._config)
        m.submodules.recorder = recorder = Recorder(self._config)
        for part in (sealer, splitter, recorder):
            m.d.comb += part.job.eq(self.job)
        connect(m, sealer.open, flipped(self.open))
        connect(m, sealer.transfer, flipped(self.transfer.request))
        connect(m, sealer.mean_job, flipped(self.mean_job))
        connect(m, sealer.task, recorder.task)
        connect(m, sealer.request, flipped(self.request))
        connect(m, flipped(self.line), splitter.line)
        connect(m, splitter.give, flipped(self.transfer.give))
        connect(m, splitter.key, flipped(self.mean_key))
        connect(m, flipped(self.mean), recorder.mean)
        connect(m, recorder.write, flipped(self.write))
        connect(m, recorder.map, flipped(self.map))
        result, moving = self.transfer.result, Signal(NUMBER_BITS)
        begun = self.transfer.request.valid & self.transfer.request.ready
        m.d.sync += moving.eq(moving + begun - result.valid)
        moved = Mux(result.valid, result.fault, Fault.NONE)
        m.d.comb += [
            sealer.start.eq(self.start),
            sealer.target.eq(self.target),
            sealer.failed.eq(self.failed),
            self.fault.eq(Mux(sealer.fault != Fault.NONE, sealer.fault, moved)),
            self.sealed.eq(sealer.sealed),
            self.offloaded.eq(sealer.offloaded),
            self.given.eq(splitter.given),
            self.recorded.eq(recorder.recorded),
            self.busy.eq(sealer.busy | recorder.busy | (moving != 0)),
        ]
        return m
