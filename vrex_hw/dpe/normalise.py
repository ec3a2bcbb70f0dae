"""From a signed integer and its unit's exponent to fp32: normalise, then round to nearest even."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.pipeline import delay, register


class Normalise(wiring.Component):
    """Shift an integer so that its highest bit is set, one a cycle.

    ``total``, signed of ``bits`` bits, becomes ``negative`` and ``magnitude`` of ``bits - 1``
    bits, whose highest bit is clear only for a zero; ``exponent`` loses the shift.
    Latency 3: absolute value; leading zeros; shift.

    Parameters
    ----------
    bits : width of ``total``; it must not be -2^(bits - 1).
    exponent_bits : width of ``exponent``, signed.
    """

    LATENCY = 3

    def __init__(self, bits: int, exponent_bits: int) -> None:
        """Raise ValueError for fewer than 3 bits."""
        if bits < 3:
            raise ValueError(f"normalise: bits is {bits}: it must be 3 or more")
        super().__init__(
            {
                "total": In(signed(bits)),
                "exponent": In(signed(exponent_bits)),
                "negative": Out(1),
                "magnitude": Out(bits - 1),
                "normalised": Out(signed(exponent_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the three stages."""
        m = Module()
        sign = self.total[-1]
        folded = self.total[:-1] ^ sign.replicate(len(self.magnitude))
        magnitude = register(m, (folded + sign)[: len(folded)], "absolute")
        zeros = register(m, _leading_zeros(magnitude), "zeros")
        waiting = register(m, magnitude, "waiting")
        late = delay(m, self.exponent, 2, "late_exponent").as_signed()
        shifted = (waiting << zeros)[: len(waiting)]
        m.d.comb += [
            self.magnitude.eq(register(m, shifted, "shifted")),
            self.normalised.eq(register(m, (late - zeros)[: len(late)].as_signed(), "lowered")),
            self.negative.eq(delay(m, sign, 3, "sign")),
        ]
        return m


def _leading_zeros(value: Value) -> Value:
    """Return how many zeros stand above the highest 1 of ``value``; of a zero, any number."""
    levels = ceil_log2(len(value))
    padding = (1 << levels) - len(value)
    return _count(Cat(Const(0, padding), value))[1]


def _count(value: Value) -> tuple[Value, Value]:
    """Return whether ``value`` (of 2^n bits) is zero, and the n bits of its leading zeros."""
    if len(value) == 1:
        return ~value, Const(0, 0)
    half = len(value) // 2
    low_zero, low = _count(value[:half])
    high_zero, high = _count(value[half:])
    return high_zero & low_zero, Cat(Mux(high_zero, low, high), high_zero)


class Round(wiring.Component):
    """Round a normalised magnitude to a float, to nearest even, one a cycle.

    The value is ``magnitude / 2^(bits - 1) * 2^(exponent - bias)``: its highest bit is 1 unless
    it is zero. Results below the smallest normal number after IEEE rounding are +0; what
    overflows, or comes with ``nan``, is the canonical NaN (a quiet one, nothing else set).
    Latency 2: rounded; packed.

    Parameters
    ----------
    bits : width of ``magnitude``, 1 or more.
    exponent_bits : width of ``exponent``, signed, 2 more than ``field_bits`` at least.
    field_bits, mantissa_bits : of the result, 8 and 23 for fp32.
    """

    LATENCY = 2

    def __init__(
        self, bits: int, exponent_bits: int, field_bits: int = 8, mantissa_bits: int = 23
    ) -> None:
        """Raise ValueError for widths that do not fit together."""
        if exponent_bits < field_bits + 2:
            raise ValueError(
                f"round: exponent_bits is {exponent_bits}: it must be {field_bits + 2} or more"
            )
        self._field_bits, self._mantissa_bits = field_bits, mantissa_bits
        super().__init__(
            {
                "negative": In(1),
                "magnitude": In(bits),
                "exponent": In(signed(exponent_bits)),
                "nan": In(1),
                "out": Out(1 + field_bits + mantissa_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the two stages."""
        m = Module()
        mantissa_bits, field_bits = self._mantissa_bits, self._field_bits
        missing = max(0, mantissa_bits + 2 - len(self.magnitude))
        magnitude = Cat(Const(0, missing), self.magnitude)
        low = len(magnitude) - 1 - mantissa_bits
        fraction = magnitude[low:-1]
        guard, sticky = magnitude[low - 1], magnitude[: low - 1].any()
        # One place below the smallest normal exponent IEEE keeps one bit less, and only all ones
        # round up to it: adding 1 in any case gives just that.
        below = self.exponent == 0
        up = below | (guard & (sticky | fraction[0]))
        # A carry out of the fraction lands in the exponent, as it should.
        rounded = register(
            m, (Cat(fraction, self.exponent) + up)[: mantissa_bits + len(self.exponent)], "rounded"
        )
        negative = register(m, self.negative, "negative_1")
        nonzero = register(m, magnitude[-1], "nonzero")
        nan = register(m, self.nan, "nan_1")

        exponent = rounded[mantissa_bits:].as_signed()
        normal = Signal()
        overflow = Signal()
        m.d.comb += [
            normal.eq(nonzero & (exponent > 0)),
            overflow.eq(normal & (exponent >= (1 << field_bits) - 1)),
        ]
        number = Cat(rounded[: mantissa_bits + field_bits], negative)
        quiet = Const(
            (((1 << field_bits) - 1) << mantissa_bits) | (1 << (mantissa_bits - 1)), len(number)
        )
        m.d.comb += self.out.eq(
            register(
                m, Mux(nan | overflow, quiet, number & normal.replicate(len(number))), "packed"
            )
        )
        return m
