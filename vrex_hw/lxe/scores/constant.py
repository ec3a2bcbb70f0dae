"""Multiplication by a constant, in adders."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.vpe import fp32


class ConstantMultiplier(wiring.Component):
    """``product = a * factor``, unsigned and full width, one a cycle.

    Adds and subtracts a shifted ``a`` for each digit of ``factor`` that is not 0, in the form
    with digits -1, 0 and 1 of which no two neighbours are set: one adder a stage, and no
    multiplier. Latency :attr:`latency`: log2 of the number of those digits, rounded up.

    ``bits``: width of ``a``; ``factor``: 1 or more, else ValueError. Source: our decision.
    """

    def __init__(self, bits: int, factor: int) -> None:
        """Make it for ``bits`` bits times ``factor``."""
        if factor < 1:
            raise ValueError(f"factor is {factor}: it must be 1 or more")
        self._digits = signed_digits(factor)
        self.latency = ceil_log2(len(self._digits))
        super().__init__({"a": In(bits), "product": Out(bits + factor.bit_length())})

    def elaborate(self, platform: object) -> Module:
        """Add neighbouring digits level by level."""
        m = Module()
        terms: list[tuple[Value, int]] = [
            (self.a if sign > 0 else -self.a, place) for sign, place in self._digits
        ]
        for level in range(self.latency):
            sums = []
            for k in range(0, len(terms) - 1, 2):
                (low, place), (high, above) = terms[k : k + 2]
                total = low + (high << (above - place))
                stage = Signal(total.shape(), name=f"level{level}_{k // 2}", reset_less=True)
                m.d.sync += stage.eq(total)
                sums.append((stage, place))
            if len(terms) % 2:
                value, place = terms[-1]
                sums.append((fp32.delay(m, value, 1, f"level{level}_last"), place))
            terms = sums
        value, place = terms[0]
        m.d.comb += self.product.eq(value << place)
        return m


def signed_digits(number: int) -> list[tuple[int, int]]:
    """Return the (sign, place) of the digits of ``number``, lowest first, no two adjacent."""
    digits = []
    place = 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)
            digits.append((sign, place))
            number -= sign
        number >>= 1
        place += 1
    return digits
