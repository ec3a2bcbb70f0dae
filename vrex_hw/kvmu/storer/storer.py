"""Stores a frame's keys and values, and sends sealed clusters to the host."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from vrex_hw.config import Config
from vrex_hw.hcu.layouts import ASSIGNMENT, token
from vrex_hw.kvmu.layouts import FAULT, Fault
from vrex_hw.kvmu.ports import (
    MapSignature,
    OpenSignature,
    ReadSignature,
    TransferSignature,
    WriteSignature,
)
from vrex_hw.kvmu.storer.filler import Filler
from vrex_hw.kvmu.storer.layouts import DONE, job_layout
from vrex_hw.kvmu.storer.line_reader import LineReader, read_ahead
from vrex_hw.kvmu.storer.line_writer import LineWriter
from vrex_hw.kvmu.storer.offloader import Offloader
from vrex_hw.vpe.mean import job_layout as mean_job_layout
from vrex_hw.vpe.mean import key_layout, mean_layout

COUNTER_BITS = 32


class Storer(wiring.Component):
    """Puts every token of a frame into its cluster's slot, then seals what the HCU has sealed.

    Ports
    -----
    job : ``state``, the head's, a multiple of a slot's lines; ``host``: its region there, for
        ``host_tokens``; ``k``, ``v``: the frame's keys and values, ``tokens`` of them, each
        ``kv_stride`` lines from the one before, of 2^``chunks_log2`` lines for ``dimension``
        elements; ``skip``: how many of them, 0 to ``tokens``, are sinks; ``start``: tokens of the
        stream before the frame; ``sealed``, ``opened``: clusters so far; ``offloaded``: tokens on
        the host.
    assign : what the HCU says of the tokens from ``skip`` on, and its trailer; nothing if there
        are none. ``hash``: those tokens' bits, taken as they come, up to ``lxe.rows`` ahead of
        ``assign`` or of the job.
    open, map : the head's entries. Those of tokens' clusters are written as the tokens are
        placed, a sealed cluster's in the map.
    read, write : device memory. ``transfer``: to the host. ``mean_job``, ``mean_key``, ``mean``:
        the mean unit.
    done : one a job; with a fault its numbers mean nothing, and memory holds a part of the frame.
    busy : a job is in hand. ``tokens_stored``, ``clusters_sealed`` and ``lines_offloaded`` count
        modulo 2^32.

    Token t is copied to position ``start`` + t of the sinks' slot, or to its cluster's window
    slot, at the position of its cluster's count. When all of that can be read back, clusters from
    ``sealed`` up to the trailer's number are sealed: their lines go to the host, token by token,
    key then value, and their mean, count and map entry are written. The first fault is kept; from
    then on nothing new is written or sealed, but all streams are taken to their end and all that
    is under way is waited for. The memory ports take a burst only within the state's counts,
    means, sinks and window.

    Cycles, where nothing waits: 2 * chunks a token; 5 from the last write's ``done`` to the first
    line asked for; 2 * chunks * n + 3 for a sealed cluster of n tokens, or what the mean unit takes
    for its keys and its division if that is more: it divides while the next cluster's lines come.

    Source: paper (reordering while storing, offload of the oldest); the layout, the checks and
    the order are our decision.
    """

    def __init__(self, config: Config, ahead: int | None = None) -> None:
        """Size it by ``config``; ``ahead``: lines it reads ahead, :func:`read_ahead` if None."""
        self._config = config
        self._ahead = read_ahead(config) if ahead is None else ahead
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(config))),
                "assign": In(stream.Signature(ASSIGNMENT)),
                "hash": In(stream.Signature(token(config.hcu))),
                "open": Out(OpenSignature(config)),
                "map": Out(MapSignature(config)),
                "read": Out(ReadSignature(config)),
                "write": Out(WriteSignature(config)),
                "transfer": Out(TransferSignature(config)),
                "mean_job": Out(stream.Signature(mean_job_layout(config))),
                "mean_key": Out(stream.Signature(key_layout(config))),
                "mean": In(stream.Signature(mean_layout(config))),
                "done": Out(stream.Signature(DONE)),
                "busy": Out(1),
                "tokens_stored": Out(COUNTER_BITS),
                "clusters_sealed": Out(COUNTER_BITS),
                "lines_offloaded": Out(COUNTER_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Hold the job, let it be placed, then sealed, and say how it ended."""
        m = Module()
        config, done = self._config, self.done
        m.submodules.reader = reader = LineReader(config, self._ahead)
        m.submodules.writer = writer = LineWriter(config)
        m.submodules.filler = filler = Filler(config)
        m.submodules.offloader = offloader = Offloader(config)
        job, still = Signal(job_layout(config)), Signal()
        fault = Signal(FAULT)
        m.d.comb += [
            still.eq(reader.idle & writer.idle),
            writer.state.eq(job.state),
            done.p.fault.eq(fault),
            done.p.sealed.eq(offloader.sealed),
            done.p.opened.eq(filler.opened),
            done.p.offloaded.eq(offloader.offloaded),
        ]
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [job.eq(self.job.p), fault.eq(Fault.NONE)]
                with m.If(self.job.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += filler.start.eq(1)
                m.next = "FILL"
            with m.State("FILL"):
                self._note(m, fault, filler.fault, reader, writer)
                # The slots are read only when all that was written to them is there.
                with m.If(~filler.busy & still):
                    m.d.comb += offloader.start.eq(1)
                    m.next = "SEAL"
            with m.State("SEAL"):
                self._note(m, fault, offloader.fault, reader, writer)
                with m.If(~offloader.busy & still):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += done.valid.eq(1)
                with m.If(done.ready):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        for part in (filler, offloader):
            m.d.comb += [part.job.eq(job), part.failed.eq(fault != Fault.NONE)]
        m.d.comb += offloader.target.eq(filler.target)
        self._connect(m, reader, writer, filler, offloader)
        self._share(m, fsm.ongoing("SEAL"), reader, writer, filler, offloader)
        self._count(m, filler, offloader)
        return m

    def _note(
        self, m: Module, fault: Any, found: Any, reader: LineReader, writer: LineWriter
    ) -> None:
        """Keep the first fault of a job."""
        causes = (
            (reader.error, Fault.MEMORY_READ),
            (writer.outside, Fault.OUT_OF_BOUNDS),
            (writer.error, Fault.MEMORY_WRITE),
            (found != Fault.NONE, found),
        )
        for cause, kind in reversed(causes):
            with m.If((fault == Fault.NONE) & cause):
                m.d.sync += fault.eq(kind)

    def _connect(
        self,
        m: Module,
        reader: LineReader,
        writer: LineWriter,
        filler: Filler,
        offloader: Offloader,
    ) -> None:
        """Connect the ports that belong to one part."""
        connect(m, reader.read, flipped(self.read))
        connect(m, writer.write, flipped(self.write))
        connect(m, flipped(self.assign), filler.assign)
        connect(m, flipped(self.hash), filler.hash)
        for name in ("map", "transfer", "mean_job", "mean_key"):
            connect(m, getattr(offloader, name), flipped(getattr(self, name)))
        connect(m, flipped(self.mean), offloader.mean)

    def _share(
        self,
        m: Module,
        sealing: Any,
        reader: LineReader,
        writer: LineWriter,
        filler: Filler,
        offloader: Offloader,
    ) -> None:
        """Give memory and the open entries to the part whose turn it is."""
        entries = flipped(self.open)
        for mine, part in ((~sealing, filler), (sealing, offloader)):
            with m.If(mine):
                m.d.comb += [
                    reader.request.valid.eq(part.request.valid),
                    reader.request.p.eq(part.request.p),
                    part.request.ready.eq(reader.request.ready),
                    part.line.valid.eq(reader.o.valid),
                    reader.o.ready.eq(part.line.ready),
                    writer.i.valid.eq(part.write.valid),
                    writer.i.p.eq(part.write.p),
                    part.write.ready.eq(writer.i.ready),
                    entries.read.eq(part.open.read),
                    entries.address.eq(part.open.address),
                ]
            m.d.comb += [part.line.p.eq(reader.o.p), part.open.data.eq(entries.data)]
        m.d.comb += [
            entries.write.eq(filler.open.write),
            entries.write_address.eq(filler.open.write_address),
            entries.write_data.eq(filler.open.write_data),
        ]

    def _count(self, m: Module, filler: Filler, offloader: Offloader) -> None:
        """Count what the job's parts have done."""
        for counter, event in (
            (self.tokens_stored, filler.stored),
            (self.clusters_sealed, offloader.recorded),
            (self.lines_offloaded, offloader.given),
        ):
            m.d.sync += counter.eq(counter + event)
