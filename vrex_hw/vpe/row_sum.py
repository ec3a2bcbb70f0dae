"""The sum of a row's exponentials: one beat of the aligned sum over BF16 numbers."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.dpe.aligned_sum import AlignedSum
from vrex_hw.dpe.normalise import Normalise, Round
from vrex_hw.pipeline import delay
from vrex_hw.vpe import fp32

EXPONENT_BITS = 9
"""Of an exponent field plus that of 1.0, by which the DPE would multiply."""
WIDE_EXPONENT_BITS = 11
"""Of a signed exponent before it is known whether the result fits."""
ONE = Const(1, 2)
"""What stands before the point of a magnitude of two such bits."""


class RowSum(wiring.Component):
    """``total`` = ``acc`` + the sum of the live ``p``, one a cycle: a beat of the DPE's aligned
    sum of ``p`` times 1.0, without its multipliers.

    ``p``: BF16, 0 or more, or NaN; ``acc``: fp32, 0 or more, or NaN; a live NaN makes ``total``
    the canonical NaN. With no live lane ``total`` is ``acc``. Source: our decision.

    Parameters
    ----------
    width : lanes.
    window : bits that an aligned magnitude keeps.
    """

    def __init__(self, width: int, window: int) -> None:
        """Size the ports."""
        self._width, self._window = width, window
        # A magnitude is two bits before the point, the first of them 0, and the fraction.
        self._aligned = AlignedSum(
            width, bits=2 + 7, acc_bits=2 + 23, exponent_bits=EXPONENT_BITS, window=window
        )
        super().__init__(
            {
                "p": In(data.ArrayLayout(16, width)),
                "live": In(width),
                "acc": In(32),
                "total": Out(32),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the lanes to their sum."""
        return 1 + self._aligned.latency + Normalise.LATENCY + Round.LATENCY

    def elaborate(self, platform: Any) -> Module:
        """Align and add; then normalise and round."""
        m = Module()
        m.submodules.aligned = aligned = self._aligned
        acc = fp32.FP32(self.acc)
        exponents, poisons = [], []
        for p, live in zip(self.p, self.live, strict=True):
            exponents.append(Mux(live & p[7:15].any(), p[7:15] + fp32.BIAS, 0))
            poisons.append(live & p[7:15].all())
        exponents.append(Mux(acc.exponent.any(), acc.exponent + fp32.BIAS, 0))
        exponents = delay(m, Cat(exponents), 1, "exponents")
        wait = 1 + aligned.magnitude_delay
        fractions = delay(m, Cat(p[:7] for p in self.p), wait, "fractions")
        for k in range(self._width):
            m.d.comb += [
                aligned.exponents[k].eq(exponents.word_select(k, EXPONENT_BITS)),
                aligned.magnitudes[k].eq(Cat(fractions.word_select(k, 7), ONE)),
            ]
        m.d.comb += [
            aligned.acc_exponent.eq(exponents[-EXPONENT_BITS:]),
            aligned.acc_magnitude.eq(Cat(delay(m, acc.fraction, wait, "acc_fraction"), ONE)),
        ]
        poison = delay(m, Cat(*poisons, fp32.is_nan(acc)), 1, "poisons").any()

        bits = aligned.total_bits
        m.submodules.normalise = normalise = Normalise(bits, WIDE_EXPONENT_BITS)
        m.submodules.round = rounder = Round(bits - 1, WIDE_EXPONENT_BITS)
        # The total's unit is 2^(largest - 2 * BIAS + 2 - window), its highest bit number bits - 2.
        offset = (bits - 2) + 2 - self._window - fp32.BIAS
        end = self.latency
        unchanged = delay(m, self.acc, end, "unchanged")
        m.d.comb += [
            normalise.total.eq(aligned.total),
            normalise.exponent.eq(aligned.largest + offset),
            rounder.magnitude.eq(normalise.magnitude),
            rounder.exponent.eq(normalise.normalised),
            rounder.nan.eq(delay(m, poison, aligned.latency + Normalise.LATENCY, "poison")),
            # A window below 25 bits would cut even an accumulator that nothing is added to.
            self.total.eq(Mux(delay(m, self.live.any(), end, "any"), rounder.out, unchanged)),
        ]
        return m
