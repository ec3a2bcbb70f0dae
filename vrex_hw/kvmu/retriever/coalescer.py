"""Clusters that lie side by side on the host become one request."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import FAULT, LINE, Fault
from vrex_hw.kvmu.ports import TRANSFER
from vrex_hw.kvmu.retriever.layouts import CLUSTER, LANDING

SIZE = 18
"""Bits of the lines of a cluster."""


class Coalescer(wiring.Component):
    """Unites ``cluster``, ascending, to ``request`` of up to ``request_lines`` lines.

    A cluster that begins where the one before it ends joins its request, if both fit. One that is
    larger than a request alone is cut after every ``request_lines`` lines, and the rest may be
    joined. A request is sent when it is known to be complete: with the next cluster, or with
    ``flush``; and only when ``credits`` are there for all its lines (``request_lines`` in all, of
    which ``freed`` gives one back). ``landing`` tells of each cluster whose lines will come.

    A cluster that leaves the ``host_tokens`` of the region is a ``fault`` in one cycle, and is not
    asked for. With ``stop`` clusters are taken and dropped, and no more requests begin. ``start``
    drops what a job left. ``idle``: no cluster is held and no request waits. A cluster takes a
    cycle, a request one more; latency 3 cycles. Our decision.
    """

    def __init__(self, config: Config) -> None:
        """Take the sizes of ``config``."""
        self._most = config.kvmu.request_lines
        super().__init__(
            {
                "start": In(1),
                "stop": In(1),
                "flush": In(1),
                "host": In(LINE),
                "host_tokens": In(LINE),
                "chunks_log2": In(4),
                "cluster": In(stream.Signature(CLUSTER)),
                "landing": Out(data.StructLayout({"valid": 1, "p": LANDING})),
                "request": Out(stream.Signature(TRANSFER)),
                "freed": In(1),
                "sent": Out(1),
                "fault": Out(FAULT),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the request that grows."""
        m = Module()
        held, adjacent = Signal(), Signal()
        begin, size = Signal(LINE), Signal(SIZE)
        take, due, sends = Signal(), Signal(), Signal()
        open_, place, lines = Signal(), Signal(LINE), Signal(SIZE)
        large, joins, both = Signal(), Signal(), Signal(SIZE + 1)
        m.d.comb += [
            large.eq(open_ & (lines > self._most)),
            both.eq(lines + size),
            joins.eq(adjacent & (both <= self._most)),
            take.eq(held & ~large & (~open_ | joins) & ~self.stop),
            due.eq(open_ & ~self.stop & (large | Mux(held, ~joins, self.flush))),
            self.idle.eq(~held & ~open_ & ~self.request.valid),
        ]
        self._check(m, held, adjacent, begin, size, take)
        self._send(m, due, sends, place, Mux(large, self._most, lines))
        with m.If(sends & large):
            m.d.sync += [place.eq(place + self._most), lines.eq(lines - self._most)]
        with m.Elif(sends | self.stop):
            m.d.sync += open_.eq(0)
        with m.If(take):
            m.d.sync += [open_.eq(1), lines.eq(Mux(open_, both, size))]
            with m.If(~open_):
                m.d.sync += place.eq(begin)
        return m

    def _check(self, m: Module, held: Any, adjacent: Any, begin: Any, size: Any, take: Any) -> None:
        """Hold a cluster that lies in its region, in lines from the region's begin."""
        cluster, end, after = self.cluster.p, Signal(LINE + 1), Signal(LINE + 1)
        landing, inside = self.landing, Signal()
        m.d.comb += [
            self.cluster.ready.eq(~held | take | self.stop),
            end.eq(cluster.offset + cluster.count),
            inside.eq(end <= self.host_tokens),
            landing.valid.eq(take),
        ]
        with m.If(take | self.stop):
            m.d.sync += held.eq(0)
        with m.If(self.cluster.valid & self.cluster.ready & ~self.stop):
            m.d.sync += [held.eq(inside), adjacent.eq(cluster.offset == after), after.eq(end)]
            m.d.sync += begin.eq(cluster.offset << 1 << self.chunks_log2)
            m.d.sync += size.eq(cluster.count << 1 << self.chunks_log2)
            m.d.sync += [landing.p[name].eq(cluster[name]) for name in LANDING.members]
            with m.If(~inside):
                m.d.comb += self.fault.eq(Fault.OUT_OF_BOUNDS)

    def _send(self, m: Module, due: Any, sends: Any, place: Any, lines: Any) -> None:
        """Send a request that is due once there are credits for it."""
        credits = Signal(range(self._most + 1), init=self._most)
        request, cost = self.request, Signal.like(credits)
        m.d.comb += [
            sends.eq(due & (credits >= lines) & (~request.valid | request.ready)),
            cost.eq(Mux(sends, lines, 0)),
            self.sent.eq(sends),
        ]
        m.d.sync += credits.eq(Mux(self.start, self._most, credits - cost + self.freed))
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(sends):
            m.d.sync += [request.valid.eq(1), request.p.lines.eq(lines)]
            m.d.sync += request.p.address.eq(self.host + place)
