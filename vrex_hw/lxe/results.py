"""Sends what comes out of the DPE to where it belongs, scaled on the way."""

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.lxe.layouts import BF16, FP32, Kind, Layouts
from vrex_hw.lxe.operands import prefix
from vrex_hw.lxe.scores.layouts import write_layout
from vrex_hw.pipeline import delay
from vrex_hw.vpe.bf16 import Round
from vrex_hw.vpe.multiply import Multiply
from vrex_hw.vpe.softmax import row_layout


class Results(wiring.Component):
    """Takes the DPE's ``sums`` of beat ``result`` when ``valid``.

    Sums that are not final go back to the accumulators at once. Final ones of HASH leave as bits
    (``hashed``, valid with ``hashed_valid``); all others are multiplied by the beat's scale, lane
    by lane, and go to the softmax, to the scores or, as BF16, out (``attended``). ``scored``
    pulses with the last score of a batch, ``nonfinite`` for each kind when a NaN has come out.
    Latency: 0 cycles to the accumulators and the bits, ``Multiply.LATENCY`` to softmax and
    scores, ``Round.LATENCY`` more to the output. A beat a cycle.

    Source: the lanes are the paper's VPE; the rest is our decision.
    """

    def __init__(self, config: Config) -> None:
        """Make ``config.lxe.side`` lanes."""
        self._config = config
        self._layouts = layouts = Layouts(config)
        side = config.lxe.side
        super().__init__(
            {
                "valid": In(1),
                "result": In(layouts.beat),
                "sums": In(data.ArrayLayout(FP32, side)),
                "accumulate": Out(layouts.accumulate),
                "hashed_valid": Out(1),
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
        result = self.result
        m.d.comb += [
            self.accumulate.valid.eq(self.valid & ~result.final),
            self.accumulate.values.eq(result.values),
            self.accumulate.chunk.eq(result.chunk),
            self.accumulate.row.eq(result.row),
            self.accumulate.sums.eq(self.sums),
        ]
        ends = self.valid & result.final
        self._hash(m, ends & (result.kind == Kind.HASH))
        scaled = self._scale(m, platform)
        self._route(m, platform, scaled, delay(m, ends, Multiply.LATENCY, "ends", reset=True))
        return m

    def _hash(self, m: Module, ends: Value) -> None:
        """A bit is 1 where the sum is positive: no NaN, no zero (there is no -0)."""
        seen, nan = Signal(len(self.hashed)), Signal(len(self.hashed))
        m.d.comb += seen.eq(prefix(self.result.visible, len(seen)))
        m.d.comb += nan.eq(Cat(is_nan(lane) for lane in self.sums))
        positive = Cat(~lane[-1] & lane[23:31].any() for lane in self.sums)
        m.d.comb += [
            self.hashed_valid.eq(ends),
            self.hashed.eq(positive & ~nan & seen),
            self.nonfinite.hash.eq(ends & (nan & seen).any()),
        ]

    def _scale(self, m: Module, platform: Any) -> list[Value]:
        """Multiply every lane by the beat's scale."""
        products = []
        for lane, total in enumerate(self.sums):
            unit = place(m, platform, f"scale{lane}", "vrex_multiply", Multiply)
            m.d.comb += [unit.a.eq(total), unit.b.eq(self.result.scale)]
            products.append(unit.product)
        return products

    def _route(self, m: Module, platform: Any, scaled: list[Value], ends: Value) -> None:
        """Send the products on by their beat's kind."""
        beat = delay(m, self.result, Multiply.LATENCY, "beat")
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
        m.d.comb += [self.softmax[name].eq(beat[name]) for name in ("row", "first", "last")]

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
