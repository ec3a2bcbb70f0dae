"""Sends activation rows through the DPE, each as soon as everything that it needs is there."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Kind, Layouts


class Issuer(wiring.Component):
    """Turns each pass of ``step`` into ``rows`` beats, one a cycle unless one has to wait.

    A beat waits for: its tile (``loaded`` pulses for each), its activation row (``rows_ready``
    of the command's), the softmax of its row where it multiplies values, and room at the outputs
    (``room``). What it needs of the softmax is more than its own tile's exponentials: the factor
    of the row's next tile, or in the last one the inverse; ``factored`` and ``inverted`` pulse
    row by row when these will be there in time. Rows come round in the same order in every pass,
    so a beat that needs an accumulator can go when fewer than ``rows`` beats are between issue
    and ``retired``: the one before it in its row is then among those that have ended. The same
    holds for rows in the softmax (``softmax_done``), which keeps their maximum and sum.

    ``issued`` and ``beat``: the beat of this cycle. ``tile_freed`` and ``command_freed`` pulse
    with the last beat of a pass and of a command. Where a pass is there and no beat goes,
    one of ``no_matrix``, ``no_activation``, ``no_output``, ``no_result`` says why. Latency 0.

    Source: our decision.
    """

    def __init__(self, config: Config, in_flight: int) -> None:
        """``in_flight``: the most beats that can be in the DPE or in the softmax at once."""
        self._config, self._in_flight = config, in_flight
        layouts = Layouts(config)
        members = {
            "step": In(stream.Signature(layouts.step)),
            "beat": Out(layouts.beat),
            "rows_ready": In(bits_for(config.lxe.rows)),
        }
        pulses_in = "loaded retired softmax_done factored inverted room blocked report_room"
        pulses_out = ("issued", "to_softmax", "tile_freed", "command_freed")
        reasons = ("no_matrix", "no_activation", "no_output", "no_result")
        members |= {name: In(1) for name in pulses_in.split()}
        members |= {name: Out(1) for name in pulses_out + reasons}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Count rows, and what is on its way; decide whether the next beat can go."""
        m = Module()
        step, row = self.step.p, Signal.like(self.step.p.rows)
        attend, keys = step.kind == Kind.ATTEND, ~step.values
        softmax = attend & keys & step.final
        last_row = row == step.rows - 1
        end = Signal()

        tiles = Signal(2)
        on_way, in_softmax = Signal(range(self._in_flight + 1)), Signal(range(self._in_flight + 1))
        tokens = range(2 * self._config.lxe.rows + 1)
        factors, inverses = Signal(tokens), Signal(tokens)
        needs_factor = step.values & (step.chunk == 0) & ~step.last
        needs_inverse = step.values & (step.chunk == 0) & step.last
        outputs = step.final & (step.values | ((step.kind == Kind.HASH) & step.last))
        m.d.sync += [
            tiles.eq(tiles + self.loaded - end),
            on_way.eq(on_way + self.issued - self.retired),
            in_softmax.eq(in_softmax + self.to_softmax - self.softmax_done),
            factors.eq(factors + self.factored - (self.issued & needs_factor)),
            inverses.eq(inverses + self.inverted - (self.issued & needs_inverse)),
        ]
        waits_tile = tiles == 0
        waits_activation = keys & (self.rows_ready <= self.beat.row)
        waits_output = (outputs & ~self.room) | (step.tail & ~self.report_room)
        waits_result = Signal()
        m.d.comb += waits_result.eq(
            (~step.clear & (on_way >= step.rows))
            | (softmax & (in_softmax >= step.rows))
            | (needs_factor & (factors == 0))
            | (needs_inverse & (inverses == 0))
        )
        goes = ~(waits_tile | waits_activation | waits_output | waits_result)
        stuck = self.step.valid & ~goes
        m.d.comb += [
            self.issued.eq(self.step.valid & goes),
            self.to_softmax.eq(self.issued & softmax),
            end.eq(self.issued & last_row),
            self.step.ready.eq(end),
            self.tile_freed.eq(end),
            self.command_freed.eq(end & step.tail),
            self.no_output.eq(stuck & (waits_output | (waits_tile & self.blocked))),
            self.no_matrix.eq(stuck & waits_tile & ~self.no_output),
            self.no_activation.eq(stuck & waits_activation & ~self.no_output & ~self.no_matrix),
            self.no_result.eq(stuck & ~(self.no_output | self.no_matrix | self.no_activation)),
        ]
        with m.If(self.issued):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        m.d.comb += [
            self.beat.row.eq(step.base + row),
            self.beat.score_row.eq(row),
            self.beat.ends.eq(last_row),
            self.beat.closes.eq(step.closes & last_row),
            self.beat.tail.eq(step.tail & last_row),
            # The columns of a tile are all visible, but for the rows of ATTEND (operands.py).
            self.beat.visible.eq(step.height),
        ]
        copied = "kind values tile chunk width clear final first last bank scale"
        m.d.comb += [self.beat[name].eq(step[name]) for name in copied.split()]
        return m
