"""Binary32 as the VPE has it: fields, the one NaN, and what the parts' pipelines share.

There are no subnormals and no infinities: a number whose exponent field is 0 counts as zero, one
whose field is 255 as NaN. Rounding is to nearest even. Normative: docs/numerics.md.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from vrex_hw.pipeline import delay

BIAS = 127
"""Bias of the exponent field, the same in BF16."""
NOT_FINITE = 255
"""Exponent field of NaN (and of the infinities, which count as NaN)."""
CANONICAL_NAN = 0x7FC00000
"""Bits of the only NaN that is ever produced."""
ROUND_LATENCY = 2
"""Cycles that :func:`round_and_pack` takes."""

FP32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
"""The fields of a binary32 number."""
EXPONENT = signed(10)
"""Of a biased exponent before it is known to fit: -256 to 511."""


def significand(number: Any) -> Value:
    """Return the 24 bits of the significand of ``number`` (:data:`FP32`), 0 if it is zero."""
    normal = number.exponent.any()
    return Mux(normal, Cat(number.fraction, Const(1, 1)), 0)


def is_nan(number: Any) -> Value:
    """Whether ``number`` (:data:`FP32`) is NaN."""
    return number.exponent.all()


def round_and_pack(
    m: Module, sign: Value, exponent: Value, kept: Value, guard: Value, rest: Value, nan: Value
) -> Value:
    """Return the 32 bits of a result, :data:`ROUND_LATENCY` cycles later, from a register.

    ``kept``: 24 bits, the highest 1 unless the result is zero; ``guard``: the bit below;
    ``rest``: whether any bit below that is 1; ``exponent``: biased, :data:`EXPONENT`: one of 0 or
    less after rounding gives zero of ``sign``, 255 or more the canonical NaN, as does ``nan``.
    """
    # With a field of 0 IEEE rounds one place higher, where only all ones reach the smallest normal
    # number: adding 1 in any case gives just that, as all other results are zero.
    up = (exponent == 0) | (guard & (rest | kept[0]))
    rounded = Signal(25, reset_less=True)
    m.d.sync += rounded.eq(kept + up)
    sign, nan = delay(m, sign, 1, "sign_rounded"), delay(m, nan, 1, "nan_rounded")
    field = Signal(EXPONENT)
    m.d.comb += field.eq(delay(m, exponent, 1, "exponent_rounded") + rounded[-1])
    magnitude = Mux(field > 0, Cat(rounded[:23], field[:8]), 0)
    result = Signal(32, reset_less=True)
    invalid = nan | (field >= NOT_FINITE)
    m.d.sync += result.eq(Mux(invalid, Const(CANONICAL_NAN, 32), Cat(magnitude, sign)))
    return result
