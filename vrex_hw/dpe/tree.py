"""One MAC tree: BF16 products and an fp32 accumulator, added by an aligned sum."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.dpe import product_sum
from vrex_hw.dpe.layouts import BF16, FP32
from vrex_hw.dpe.normalise import Normalise, Round
from vrex_hw.dpe.product import BIAS, EXPONENT_BITS, SIGNIFICAND_BITS, ProductExponent
from vrex_hw.dpe.product_sum import ProductSum
from vrex_hw.hierarchy import place
from vrex_hw.pipeline import delay, register

WIDE_EXPONENT_BITS = 11
"""Bits of a signed exponent before it is known whether the result fits."""


class Tree(wiring.Component):
    """``out`` = ``acc`` + the sum of ``a[j] * b[j]`` over live j, by the aligned sum, rounded once.

    BF16 inputs, fp32 accumulator and result; subnormal inputs count as zero, a zero or subnormal
    result is +0. A non-finite live input or accumulator, or an overflow, gives the canonical NaN;
    an input that is not live takes no part at all. One beat a cycle, without a stall; the inputs
    go through little logic before their first register, and should come from registers.
    Source: hardware.md (our decision; the paper has a tree of adders).

    Parameters
    ----------
    width : products of a beat, 1 or more.
    window : bits that an aligned magnitude keeps, 20 to 30.
    """

    def __init__(self, width: int, window: int = 28) -> None:
        """Raise ValueError for sizes out of bounds."""
        if width < 1:
            raise ValueError(f"tree: width is {width}: it must be 1 or more")
        if not 20 <= window <= 30:
            raise ValueError(f"tree: window is {window}: it must be from 20 to 30")
        self.width, self.window = width, window
        row = data.ArrayLayout(BF16, width)
        super().__init__(
            {"a": In(row), "b": In(row), "live": In(width), "acc": In(FP32), "out": Out(FP32)}
        )

    @property
    def latency(self) -> int:
        """Cycles from a beat to its result."""
        return latency(self.width)

    def elaborate(self, platform: Any) -> Module:
        """Exponents first; the products are made while the largest is looked for."""
        m = Module()
        m.submodules.sum = aligned = ProductSum(
            self.width,
            bits=SIGNIFICAND_BITS,
            acc_bits=25,
            exponent_bits=EXPONENT_BITS,
            window=self.window,
        )
        until_product = 1 + aligned.magnitude_delay
        # Significands and signs are held for all products together: few wide registers.
        wait = 1 + aligned.factor_delay
        a_fractions = delay(m, Cat(a[:7] for a in self.a), wait, "a_fractions")
        b_fractions = delay(m, Cat(b[:7] for b in self.b), wait, "b_fractions")
        signs = Cat(a[-1] ^ b[-1] for a, b in zip(self.a, self.b, strict=True))
        poisons, one = [], Const(1, 1)
        for k in range(self.width):
            product = place(m, platform, f"product{k}", "dpe_product", ProductExponent)
            m.d.comb += [
                product.a_field.eq(self.a[k][7:15]),
                product.b_field.eq(self.b[k][7:15]),
                product.live.eq(self.live[k]),
                aligned.exponents[k].eq(product.exponent),
                aligned.a[k].eq(Cat(a_fractions.word_select(k, 7), one)),
                aligned.b[k].eq(Cat(b_fractions.word_select(k, 7), one)),
            ]
            poisons.append(product.poison)
        m.d.comb += aligned.negatives.eq(delay(m, signs, until_product, "signs"))
        field = self.acc[23:31]
        acc_exponent = Mux(field.any(), field + BIAS, 0)
        acc = delay(m, self.acc, until_product, "acc")
        m.d.comb += [
            aligned.acc_exponent.eq(register(m, acc_exponent, "acc_exponent")),
            aligned.acc_magnitude.eq(Cat(acc[:23], Const(1, 1), Const(0, 1))),
            aligned.acc_negative.eq(acc[-1]),
        ]
        poisons.append(register(m, field.all(), "acc_poison"))
        self._finish(m, aligned, register(m, Cat(poisons).any(), "poisoned"))
        return m

    def _finish(self, m: Module, aligned: ProductSum, poisoned: Value) -> None:
        """Normalise and round the sum; ``poisoned`` is 2 cycles old."""
        bits = aligned.total_bits
        m.submodules.normalise = normalise = Normalise(bits, WIDE_EXPONENT_BITS)
        m.submodules.round = rounder = Round(bits - 1, WIDE_EXPONENT_BITS)
        # The total's unit is 2^(largest - 2 * BIAS + 2 - window), its highest bit number bits - 2.
        offset = (bits - 2) + 2 - self.window - BIAS
        wait = self.latency - Round.LATENCY - 2
        m.d.comb += [
            normalise.total.eq(aligned.total),
            normalise.exponent.eq(aligned.largest + offset),
            rounder.negative.eq(normalise.negative),
            rounder.magnitude.eq(normalise.magnitude),
            rounder.exponent.eq(normalise.normalised),
            rounder.nan.eq(delay(m, poisoned, wait, "poisoned")),
            self.out.eq(rounder.out),
        ]


def latency(width: int) -> int:
    """Return the cycles of a tree of ``width`` inputs from a beat to its result."""
    return 1 + product_sum.latency(width) + Normalise.LATENCY + Round.LATENCY
