"""Aligns one term of an aligned sum to the largest exponent."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.dpe.pipeline import delay, register


class Aligner(wiring.Component):
    """The term of one lane: shifted right, cut to the window, and complemented if negative.

    ``term`` is signed, ``window + 1`` bits: the top ``window`` bits of ``magnitude`` shifted right
    by ``largest - exponent``, and their complement, 1 less than the negated number, where
    ``negative`` is set. ``largest`` comes ``search`` cycles after ``exponent`` and is at least as
    large; magnitude and sign come a cycle after ``largest``, and ``term`` a cycle after those.

    Parameters
    ----------
    bits, exponent_bits, window : widths of ``magnitude``, of the exponents and of what is kept.
    search : cycles, 0 or more.
    """

    def __init__(self, bits: int, exponent_bits: int, window: int, search: int) -> None:
        """Size the ports."""
        self._window, self._search = window, search
        super().__init__(
            {
                "exponent": In(exponent_bits),
                "largest": In(exponent_bits),
                "magnitude": In(bits),
                "negative": In(1),
                "term": Out(signed(window + 1)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """A subtraction, then a shift."""
        m = Module()
        late = delay(m, self.exponent, self._search, "exponent")
        shift_bits = ceil_log2(self._window + 1)
        shift = register(m, _saturate(self.largest - late, shift_bits), "shift")
        m.d.comb += self.term.eq(register(m, self._aligned(shift), "aligned"))
        return m

    def _aligned(self, shift: Value) -> Value:
        """Return the term of the shifted magnitude.

        What is shifted in at either end are the complement's own bits. Small shifts come first,
        while few bits can be anything else.
        """
        bits = self.magnitude ^ self.negative.replicate(len(self.magnitude))
        for k in range(len(shift)):
            pad = self.negative.replicate(1 << k)
            wide = Mux(shift[k], Cat(bits, pad), Cat(pad, bits))
            bits = wide[max(0, len(wide) - self._window) :]
        return Cat(self.negative.replicate(self._window - len(bits)), bits, self.negative)


def _saturate(value: Value, bits: int) -> Value:
    """Return ``value``, a difference that is not negative, in ``bits`` bits; all ones if larger."""
    over = value[bits:-1].any()
    return value[:bits] | over.replicate(bits)
