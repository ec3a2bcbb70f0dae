"""One product as a term of an aligned sum: multiplied and aligned to the largest exponent.

Two forms of the same interface and latency, which a proof holds equal: one shifts the product, in
any technology; the other shifts the operands, where multipliers are wide and there anyway.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.dpe.align import Aligner, aligned
from vrex_hw.hierarchy import place
from vrex_hw.multiplier import ECP5_BITS, Multiplier
from vrex_hw.pipeline import delay, register

LEFT = 4
"""Bits of the shift that wide operands have room for: up to 7 places in one, 8 in the other."""
FAR = 1 << LEFT
"""Places that are left to choose behind the multiplier."""


class AlignedProduct(wiring.Component):
    """The product of two significands, aligned as :class:`~vrex_hw.dpe.align.Aligner` has it.

    ``largest`` comes with ``exponent`` and is at least as large; so do ``a`` and ``b``.
    ``negative`` comes 2 cycles later, ``term`` and ``sign`` 3 cycles later: ``a * b``, which has
    two integer bits, in a window of ``window`` bits whose top is that of ``largest``; truncated
    and, if negative, complemented. This is the portable form: the product is shifted right.

    Parameters
    ----------
    bits : width of ``a`` and ``b``.
    exponent_bits, window : widths of the exponents and of what is kept.
    """

    WAIT = 1
    """Cycles of latency beyond those of an aligner: the distance waits for the product."""

    def __init__(self, bits: int, exponent_bits: int, window: int) -> None:
        """Size the ports."""
        self._window = window
        super().__init__(
            {
                "a": In(bits),
                "b": In(bits),
                "exponent": In(exponent_bits),
                "largest": In(exponent_bits),
                "negative": In(1),
                "term": Out(signed(window + 1)),
                "sign": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A multiplier, then an aligner."""
        m = Module()
        bits, exponent_bits, window = len(self.a), len(self.exponent), self._window
        module = f"dpe_multiplier_{bits}"
        multiplier = place(m, platform, "multiplier", module, lambda: Multiplier(bits, bits))
        sizes = (2 * bits, exponent_bits, window, self.WAIT)
        module = f"dpe_aligner_{'_'.join(map(str, sizes))}"
        aligner = place(m, platform, "aligner", module, lambda: Aligner(*sizes))
        m.d.comb += [
            multiplier.a.eq(self.a),
            multiplier.b.eq(self.b),
            aligner.exponent.eq(self.exponent),
            aligner.largest.eq(self.largest),
            aligner.magnitude.eq(multiplier.product),
            aligner.negative.eq(self.negative),
            self.term.eq(aligned(aligner.fine, aligner.coarse, aligner.sign, window)),
            self.sign.eq(aligner.sign),
        ]
        return m


class ShiftedOperands(AlignedProduct):
    """The same for an ECP5, whose multiplier of 18 by 18 bits shifts as well.

    A shift right by ``s`` is one left by ``15 - s % 16``, then one right by 16 or none. The left
    one is made of the operands, which are narrower than their product: up to 7 places of ``a``,
    and 8 of ``b``, which takes no more than a gate a bit. What is left to choose for a bit of the
    product fits, with its complement, into one LUT4.
    """

    def __init__(self, bits: int, exponent_bits: int, window: int) -> None:
        """Raise ValueError where the operands or the window are too wide."""
        if not 1 <= bits <= ECP5_BITS - 8:
            raise ValueError(f"shifted operands: bits is {bits}: it must be 1 to {ECP5_BITS - 8}")
        widest = min(2 * bits + FAR, 2 * FAR) - 1
        if not 1 <= window <= widest:
            raise ValueError(f"shifted operands: window is {window}: it must be 1 to {widest}")
        super().__init__(bits, exponent_bits, window)

    def elaborate(self, platform: Any) -> Module:
        """Shift the operands, multiply, choose the half."""
        m = Module()
        bits, window = len(self.a), self._window
        distance = (self.largest - self.exponent)[: len(self.exponent)]
        gone = register(m, distance[LEFT + 1 :].any(), "gone")
        distance = register(m, distance[: LEFT + 1], "distance")
        far = delay(m, distance[LEFT], 2, "far")
        left = ~distance[:LEFT]
        a, b = register(m, self.a, "a_1"), register(m, self.b, "b_1")
        low = b & (~left[3] & ~gone).replicate(bits)
        high = b & (left[3] & ~gone).replicate(bits)
        multiplier = Multiplier(bits + 7, bits + 8)
        m.submodules.multiplier = multiplier
        m.d.comb += [
            multiplier.a.eq(a << left[:3]),
            multiplier.b.eq(low | Cat(Const(0, 8), high)),
        ]
        top = 2 * bits + FAR - 1
        near = multiplier.product[top - window : top]
        magnitude = Mux(far, near[FAR:], near)
        sign = register(m, self.negative, "sign")
        m.d.comb += [
            self.term.eq(Cat(magnitude ^ sign.replicate(window), sign)),
            self.sign.eq(sign),
        ]
        return m
