"""Sends what comes out of the DPE to where it belongs, scaled on the way."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.lxe.layouts import BF16, FP32, Kind, Layouts
from vrex_hw.lxe.operands import prefix
from vrex_hw.lxe.scores.layouts import write_layout
from vrex_hw.pipeline import delay
from vrex_hw.vpe.bf16 import Round
from vrex_hw.vpe.multiply import Multiply
from vrex_hw.vpe.softmax import ONE, factor_layout, row_layout


class Results(wiring.Component):
    """Takes the DPE's ``sums`` of the beat that ``valid`` and ``beat`` told a cycle before.

    Final sums of HASH leave as bits (``hashed``, for ``hashed_beat``, valid with
    ``hashed_valid``). All others are multiplied, lane by lane: scores by the beat's scale, outputs
    by the factor that the softmax has for the row's next tile or, in the last one, by the inverse
    of its sum, and sums that lack a chunk by 1. Then they go to the accumulators (``kept``
    pulses for every beat, whether it is kept or not), to the softmax, to the scores or, as BF16,
    out (``attended``). ``scored`` pulses with the last score of a batch, ``nonfinite`` for each
    kind when a NaN has come out. Latency: 1 cycle to the bits, ``LATENCY`` to accumulators,
    softmax and scores, ``Round.LATENCY`` more to the output. A beat a cycle.

    ``factor`` and ``inverse`` are the softmax's: what is read for a beat must have come by the
    cycle before ``valid``.

    Source: the lanes are the paper's VPE; that the factor meets the sums on their way back, and
    so needs no multiplier of its own, is our decision.
    """

    LATENCY = 1 + Multiply.LATENCY

    def __init__(self, config: Config) -> None:
        """Make ``config.lxe.side`` lanes."""
        self._config = config
        self._layouts = layouts = Layouts(config)
        side = config.lxe.side
        super().__init__(
            {
                "valid": In(1),
                "beat": In(layouts.beat),
                "sums": In(data.ArrayLayout(FP32, side)),
                "factor": In(factor_layout(config)),
                "inverse": In(factor_layout(config)),
                "kept": Out(1),
                "accumulate": Out(layouts.accumulate),
                "hashed_valid": Out(1),
                "hashed_beat": Out(layouts.beat),
                "hashed": Out(side),
                "softmax": Out(row_layout(config)),
                "scores": Out(write_layout(config)),
                "scored": Out(1),
                "attended_valid": Out(1),
                "attended": Out(layouts.attention),
                "nonfinite": Out(data.StructLayout({"hash": 1, "score": 1, "attend": 1})),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Make the lanes and the ways that leave them."""
        m = Module()
        factor, inverse = self._of_rows(m, "factor"), self._of_rows(m, "inverse")
        valid = delay(m, self.valid, 1, "valid", reset=True)
        beat = delay(m, self.beat, 1, "beat")
        self._hash(m, valid & beat.final & (beat.kind == Kind.HASH), beat)
        of_values = Mux(beat.last, inverse, factor)
        scale = Mux(beat.values, of_values, Mux(beat.final, beat.scale, ONE))
        scaled = self._scale(m, platform, scale)
        later = delay(m, beat, Multiply.LATENCY, "scaled_beat")
        arrives = delay(m, valid, Multiply.LATENCY, "scaled_valid", reset=True)
        self._keep(m, scaled, arrives, later)
        self._route(m, platform, scaled, arrives & later.final, later)
        return m

    def _of_rows(self, m: Module, name: str) -> Value:
        """Keep the softmax's numbers of two tiles; return that for the beat before this cycle.

        The factor for tile i + 1 rescales what tile i adds; the inverse is the last tile's own.
        """
        given = getattr(self, name)
        m.submodules[f"{name}s"] = memory = Memory(
            shape=FP32, depth=2 * self._config.lxe.rows, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        bank = ~self.beat.bank if name == "factor" else self.beat.bank
        m.d.comb += [
            write.en.eq(given.valid),
            write.addr.eq(Cat(given.bank, given.row)),
            write.data.eq(given.number),
            read.addr.eq(Cat(bank, self.beat.row)),
        ]
        return read.data

    def _hash(self, m: Module, ends: Value, beat: Any) -> None:
        """A bit is 1 where the sum is positive: no NaN, no zero (there is no -0)."""
        seen, nan = Signal(len(self.hashed)), Signal(len(self.hashed))
        m.d.comb += seen.eq(prefix(beat.visible, len(seen)))
        m.d.comb += nan.eq(Cat(is_nan(lane) for lane in self.sums))
        positive = Cat(~lane[-1] & lane[23:31].any() for lane in self.sums)
        m.d.comb += [
            self.hashed_valid.eq(ends),
            self.hashed_beat.eq(beat),
            self.hashed.eq(positive & ~nan & seen),
            self.nonfinite.hash.eq(ends & (nan & seen).any()),
        ]

    def _scale(self, m: Module, platform: Any, scale: Value) -> list[Value]:
        """Multiply every lane by ``scale``."""
        products = []
        for lane, total in enumerate(self.sums):
            unit = place(m, platform, f"scale{lane}", "vrex_multiply", Multiply)
            m.d.comb += [unit.a.eq(total), unit.b.eq(scale)]
            products.append(unit.product)
        return products

    def _keep(self, m: Module, scaled: list[Value], arrives: Value, beat: Any) -> None:
        """Send sums that are not final back."""
        m.d.comb += [
            self.kept.eq(arrives),
            self.accumulate.valid.eq(arrives & ~beat.final),
            self.accumulate.values.eq(beat.values),
            self.accumulate.chunk.eq(beat.chunk),
            self.accumulate.row.eq(beat.row),
            self.accumulate.sums.eq(Cat(scaled)),
        ]

    def _route(self, m: Module, platform: Any, scaled: list[Value], ends: Value, beat: Any) -> None:
        """Send the final products on by their beat's kind."""
        score, attend = beat.kind == Kind.SCORE, beat.kind == Kind.ATTEND
        seen = Signal(len(scaled))
        m.d.comb += seen.eq(prefix(beat.visible, len(scaled)))
        nan = (Cat(is_nan(product) for product in scaled) & seen).any()
        m.d.comb += [
            self.softmax.valid.eq(ends & attend & ~beat.values),
            self.scores.valid.eq(ends & score),
            self.scored.eq(ends & score & beat.closes),
            self.scores.row.eq(beat.score_row),
            self.scores.word.eq(beat.tile),
            self.scores.clear.eq(beat.first),
            self.scores.scores.eq(Cat(scaled)),
            self.softmax.z.eq(Cat(scaled)),
            self.nonfinite.score.eq(ends & score & nan),
            self.nonfinite.attend.eq(ends & beat.values & nan),
        ]
        for unit in (self.softmax, self.scores):
            m.d.comb += [unit.bank.eq(beat.bank), unit.live.eq(seen)]
        m.d.comb += [self.softmax[name].eq(beat[name]) for name in ("row", "first")]

        m.d.comb += [
            self.attended_valid.eq(delay(m, ends & beat.values, Round.LATENCY, "out", reset=True)),
            self.attended.last.eq(delay(m, beat.tail, Round.LATENCY, "last")),
        ]
        for lane, product in enumerate(scaled):
            unit = place(m, platform, f"round{lane}", "vrex_round", Round)
            shown = delay(m, seen[lane], Round.LATENCY, f"seen{lane}")
            m.d.comb += [
                unit.x.eq(product),
                self.attended.data[lane].eq(unit.y & shown.replicate(BF16)),
            ]


def is_nan(number: Value) -> Value:
    """Whether the binary32 ``number`` is NaN: there are no infinities."""
    return number[23:31].all()
