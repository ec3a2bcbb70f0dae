"""Walks through the segments of a frame's context: a tile of keys or values is pieces of them."""

from typing import Any

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.core.feeder.layouts import cursor_layout, piece_layout, walk_layout
from vrex_hw.core.segments import SegmentSignature
from vrex_hw.kvmu.layouts import LINE, SEGMENT, Area


class Walker(wiring.Component):
    """Takes passes (``walk``) and gives their pieces (``piece``), in order.

    A tile is the tokens that follow those of the tile before; it is walked once for each chunk of
    its keys and, a tile later, of its values. So there are two cursors, one where the tile of keys
    begins and one where that of values does: after its last chunk a tile's end is its sort's next
    begin. ``clear`` takes both to the front of the list, which is that of ``bank``. A token of
    the frame is a piece of its own, ``kv_stride`` lines behind the one before.

    A pass of 0 tokens gives an empty piece if it is the job's ``final`` one, else nothing.
    ``busy``: a pass or a piece is in hand. 2 cycles a pass, then a piece a cycle: the next
    segment is always read ahead. Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size it by ``config``."""
        self._cursor = cursor_layout(config)
        super().__init__(
            {
                "walk": In(stream.Signature(walk_layout(config))),
                "clear": In(1),
                "bank": In(1),
                "kv_stride": In(16),
                "segments": Out(SegmentSignature(config)),
                "piece": Out(stream.Signature(piece_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Go to the begin, read its segment, then cut pieces."""
        m = Module()
        walk, piece, port = self.walk, self.piece, self.segments
        pass_, current = Signal(walk.p.shape()), Signal(SEGMENT)
        at, following = Signal(self._cursor), Signal(self._cursor)
        begins = [Signal(self._cursor, name=f"{name}_begin") for name in ("key", "value")]
        left = Signal.like(pass_.height)
        begin = Signal(self._cursor)
        m.d.comb += [
            begin.eq(Array(begins)[walk.p.values]),
            port.bank.eq(self.bank),
            self.busy.eq(piece.valid),
        ]
        lines, leaves, ends = self._cut(m, current, at, left, following)

        free, cuts = Signal(), Signal()
        m.d.comb += free.eq(~piece.valid | piece.ready)
        with m.If(piece.ready):
            m.d.sync += piece.valid.eq(0)
        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [walk.ready.eq(free), port.index.eq(begin.segment), port.read.eq(1)]
                m.d.sync += [pass_.eq(walk.p), at.eq(begin), left.eq(walk.p.height)]
                with m.If(walk.valid & walk.ready):
                    with m.If(walk.p.height != 0):
                        m.next = "READ"
                    with m.Elif(walk.p.final):
                        m.d.sync += [piece.valid.eq(1), piece.p.lines.eq(0), piece.p.last.eq(1)]
            with m.State("READ"):
                m.d.comb += [
                    self.busy.eq(1),
                    port.index.eq(at.segment + 1),
                    port.read.eq(1),
                ]
                m.d.sync += current.eq(port.data)
                m.next = "CUT"
            with m.State("CUT"):
                m.d.comb += [
                    self.busy.eq(1),
                    cuts.eq(free),
                    port.index.eq(at.segment + 2),
                    port.read.eq(cuts & leaves),
                ]
                with m.If(cuts & ends):
                    m.next = "BEGIN"

        with m.If(cuts):
            m.d.sync += [
                piece.valid.eq(1),
                piece.p.area.eq(current.area),
                piece.p.slot.eq(current.slot),
                piece.p.token.eq(at.token),
                piece.p.frame.eq(at.frame),
                piece.p.values.eq(pass_.values),
                piece.p.chunk.eq(pass_.chunk),
                piece.p.lines.eq(lines),
                piece.p.last.eq(pass_.final & ends),
                at.eq(following),
                left.eq(left - lines),
            ]
            with m.If(leaves):
                m.d.sync += current.eq(port.data)
        for values, register in enumerate(begins):
            with m.If(self.clear):
                m.d.sync += register.eq(0)
            with m.Elif(cuts & ends & pass_.keep & (pass_.values == values)):
                m.d.sync += register.eq(following)
        return m

    def _cut(self, m: Module, current: Any, at: Any, left: Signal, following: Any) -> Any:
        """Return a piece's lines, and whether it ends its segment and its pass; tell what follows.

        A piece is what the segment and the tile both have left.
        """
        rest, lines, frame = Signal(16), Signal.like(left), Signal()
        leaves, ends, ahead = Signal(), Signal(), Signal(LINE)
        m.d.comb += [
            frame.eq(current.area == Area.FRAME),
            rest.eq(current.count - at.token),
            lines.eq(Mux(frame, 1, Mux(rest < left, rest, left))),
            leaves.eq(Mux(frame, rest == 1, rest <= left)),
            ends.eq(Mux(frame, left == 1, left <= rest)),
            ahead.eq(at.frame + self.kv_stride),
            following.segment.eq(at.segment + leaves),
            following.token.eq(Mux(leaves, 0, at.token + lines)),
            following.frame.eq(Mux(leaves | ~frame, 0, ahead)),
        ]
        return lines, leaves, ends
