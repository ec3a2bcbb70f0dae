"""Takes commands apart into passes, in the order in which the matrix stream brings the tiles."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import COLUMN_BITS, Kind, Layouts


class Passes(wiring.Component):
    """One pass a cycle for each command (:attr:`Layouts.step` tells what a pass is).

    HASH: tile by tile, chunk by chunk. SCORE: the same for every batch of ``score_rows`` rows.
    ATTEND, with K(i) and V(i) the chunks of tile i: K(0), K(1), V(0), K(2), V(1), ... V(last), so
    that the softmax of a tile has the time of a whole tile. A command without columns has one
    empty tile. Latency: 2 cycles from a command to its first pass, 1 between commands.

    Source: our decision.
    """

    def __init__(self, config: Config) -> None:
        """Size every counter by ``config``."""
        self._config = config
        self._layouts = layouts = Layouts(config)
        super().__init__(
            {
                "command": In(stream.Signature(layouts.command)),
                "step": Out(stream.Signature(layouts.step)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Hold the command and walk through its batches, tiles and chunks."""
        m = Module()
        side, shift = self._config.lxe.side, exact_log2(self._config.lxe.side)
        command, running = Signal(self._layouts.command), Signal()
        tiles, chunks = Signal(COLUMN_BITS - shift + 1), Signal(len(self.command.p.dimension))
        given, step = self.command.p, self.step
        m.d.comb += [self.command.ready.eq(~running), step.valid.eq(running)]

        # ATTEND counts the tiles of keys and of values apart; the others use that of keys alone.
        values, chunk = Signal(), Signal.like(step.p.chunk)
        key, value = Signal.like(tiles), Signal.like(tiles)
        base, bank, lead = Signal.like(step.p.base), Signal(), Signal()
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                command.eq(given),
                running.eq(1),
                tiles.eq(Mux(given.columns == 0, 1, (given.columns + (side - 1)) >> shift)),
                chunks.eq((given.dimension + (side - 1)) >> shift),
                (values.eq(0), chunk.eq(0), key.eq(0), value.eq(0), base.eq(0), lead.eq(1)),
            ]

        attend, score = command.kind == Kind.ATTEND, command.kind == Kind.SCORE
        tile = Mux(values, value, key)
        last_tile, last_chunk = tile == tiles - 1, chunk == chunks - 1
        left, beyond = command.columns - (tile << shift), command.dimension - (chunk << shift)
        rows = Signal.like(step.p.rows)
        rows_left = Signal.like(step.p.rows)
        score_rows = self._config.lxe.score_rows
        m.d.comb += [
            rows_left.eq(command.rows - base),
            rows.eq(Mux(score & (rows_left > score_rows), score_rows, rows_left)),
        ]
        last_batch = rows == rows_left
        first_pass, last_pass = (tile == 0) & (chunk == 0), last_tile & last_chunk
        m.d.comb += [
            step.p.kind.eq(command.kind),
            step.p.values.eq(values),
            step.p.tile.eq(tile),
            step.p.height.eq(Mux(last_tile, left, side)),
            step.p.chunk.eq(chunk),
            step.p.width.eq(Mux(last_chunk, beyond, side)),
            step.p.clear.eq(Mux(values, tile == 0, chunk == 0)),
            step.p.final.eq(Mux(values, last_tile, last_chunk)),
            step.p.first.eq(tile == 0),
            step.p.last.eq(last_tile),
            step.p.base.eq(base),
            step.p.rows.eq(rows),
            step.p.bank.eq(Mux(attend, tile[0], bank)),
            step.p.opens.eq(score & first_pass),
            step.p.closes.eq(score & last_pass),
            step.p.lead.eq(lead),
            step.p.tail.eq(last_pass & last_batch & (values | ~attend)),
            step.p.scale.eq(command.scale),
            step.p.columns.eq(command.columns),
            step.p.map.eq(command.map),
            step.p.temperature.eq(command.temperature),
        ]
        with m.If(step.valid & step.ready):
            m.d.sync += [lead.eq(0), chunk.eq(Mux(last_chunk, 0, chunk + 1))]
            with m.If(step.p.tail):
                m.d.sync += running.eq(0)
            with m.If(step.p.closes):
                m.d.sync += bank.eq(~bank)
            with m.If(last_chunk):
                with m.If(values):
                    m.d.sync += [value.eq(value + 1), values.eq(key == tiles)]
                with m.Else():
                    # Two tiles of keys come first, where there are two.
                    m.d.sync += [
                        key.eq(key + 1),
                        values.eq(attend & ((key != 0) | (tiles == 1))),
                    ]
                with m.If(last_tile & score):
                    m.d.sync += [key.eq(0), base.eq(base + rows)]
        return m
