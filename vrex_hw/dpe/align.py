"""Aligns one term of an aligned sum to the largest exponent, in two steps."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.pipeline import delay, register

FINE = 3
"""Low bits of the shift that the first step does: it leaves fewer bits to hold than the rest."""


class Aligner(wiring.Component):
    """The first step: the distance to the largest exponent, and a shift right by up to 7 bits.

    ``largest`` comes with ``exponent`` and is at least as large; ``magnitude`` and ``negative``
    come ``1 + wait`` cycles later. A cycle after those come ``fine``, the
    magnitude, complemented if negative and shifted by the distance's low bits, and ``coarse``,
    its high bits, for :func:`aligned`. A distance beyond the window counts as all ones.

    Parameters
    ----------
    bits, exponent_bits, window : widths of ``magnitude``, of the exponents and of what is kept.
    wait : cycles that a distance waits for its magnitude.
    """

    def __init__(self, bits: int, exponent_bits: int, window: int, wait: int = 0) -> None:
        """Size the ports."""
        self._window, self._wait = window, wait
        self._shift_bits = ceil_log2(window + 1)
        super().__init__(
            {
                "exponent": In(exponent_bits),
                "largest": In(exponent_bits),
                "magnitude": In(bits),
                "negative": In(1),
                "fine": Out(min(bits + (1 << FINE) - 1, window)),
                "coarse": Out(self._shift_bits - FINE),
                "sign": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A subtraction, then a shift."""
        m = Module()
        distance = self.largest - self.exponent
        distance = register(m, _saturate(distance, self._shift_bits), "distance")
        distance = delay(m, distance, self._wait, "distance")
        # One shift, not a choice a bit of the distance: simulators would branch on each of these.
        # Complemented last, so that zeros come in at either end.
        wide = Cat(Const(0, (1 << FINE) - 1), self.magnitude) >> distance[:FINE]
        bits = wide[-len(self.fine) :] ^ self.negative.replicate(len(self.fine))
        m.d.comb += [
            self.fine.eq(register(m, bits, "shifted")),
            self.coarse.eq(register(m, distance[FINE:], "coarse_distance")),
            self.sign.eq(register(m, self.negative, "sign_1")),
        ]
        return m


def aligned(fine: Value, coarse: Value, sign: Value, window: int) -> Value:
    """Return the aligned term: the second step, combinational.

    It is signed, ``window + 1`` bits: the top bits of the shifted magnitude or, if negative, their
    complement, which is 1 less than the negated number.
    """
    term = Cat(sign.replicate(window - len(fine)), fine, sign).as_signed()
    return (term >> Cat(Const(0, FINE), coarse)).as_signed()


def _saturate(value: Value, bits: int) -> Value:
    """Return ``value``, a difference that is not negative, in ``bits`` bits; all ones if larger."""
    over = value[bits:-1].any()
    return value[:bits] | over.replicate(bits)
