"""Where a frame's rows lie: queries and outputs, head by head, in each token by token."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE


class RowWalk(wiring.Component):
    """Steps through the rows of [tokens, group, chunks] lines, ``stride`` from token to token.

    ``start`` goes to token 0 of head 0 at ``address``; ``step`` to the next token of the head, or
    to the first of the next one. ``line``: the row's first; ``token``: its token. ``mark`` keeps
    the place that the step of the same cycle leads to, as ``start`` does; ``back`` returns to it
    and goes before ``step``. Latency 1 cycle, a step a cycle.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        super().__init__(
            {
                "start": In(1),
                "address": In(LINE),
                "tokens": In(16),
                "stride": In(16),
                "chunks": In(bits_for(config.chunks)),
                "step": In(1),
                "mark": In(1),
                "back": In(1),
                "line": Out(LINE),
                "token": Out(16),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Add strides within a head, chunks from head to head."""
        m = Module()
        place = data.StructLayout({"token": 16, "head": LINE, "row": LINE})
        at, marked, following = Signal(place), Signal(place), Signal(place)
        ends, head = Signal(), Signal(LINE)
        m.d.comb += [
            self.line.eq(at.row),
            self.token.eq(at.token),
            ends.eq(at.token == self.tokens - 1),
            head.eq(at.head + self.chunks),
            following.token.eq(Mux(ends, 0, at.token + 1)),
            following.head.eq(Mux(ends, head, at.head)),
            following.row.eq(Mux(ends, head, at.row + self.stride)),
        ]
        with m.If(self.start):
            m.d.comb += [following.token.eq(0)]
            m.d.comb += [following.head.eq(self.address), following.row.eq(self.address)]
        with m.If(self.back):
            m.d.sync += at.eq(marked)
        with m.Elif(self.start | self.step):
            m.d.sync += at.eq(following)
        with m.If(self.start | self.mark):
            m.d.sync += marked.eq(following)
        return m
