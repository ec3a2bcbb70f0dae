"""DPE: aligned products, their sum, normaliser and rounder, against plain definitions."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from vrex_formal.proof import Proof
from vrex_formal.rules import always, any_sequence, counter, given, reach, start, total
from vrex_hw.dpe.aligned_product import AlignedProduct, ShiftedOperands
from vrex_hw.dpe.aligned_sum import AlignedSum, latency
from vrex_hw.dpe.normalise import Normalise, Round
from vrex_hw.pipeline import delay

PRODUCT_SIZES = {"bits": 3, "exponent_bits": 6, "window": 20}
PRODUCT_LATENCY = 3
SUM_SIZES = {"width": 2, "bits": 4, "acc_bits": 6, "exponent_bits": 5, "window": 8}
SUM_LATENCY = latency(SUM_SIZES["width"])
TOTAL_BITS = 10
"""Signed: what the normaliser takes."""
EXPONENT_BITS = 6
LOWEST = -16
"""The lowest exponent that is tried; the highest is -LOWEST - 1."""
ROUND_LATENCY = Normalise.LATENCY + Round.LATENCY
FIELD_BITS, MANTISSA_BITS = 3, 4


def aligned_product(make: Callable[..., Any] = ShiftedOperands) -> Module:
    """Give both forms any factors at any distance and compare them with a product shifted by it."""
    m = Module()
    start(m)
    forms = {"shifted product": AlignedProduct, "shifted operands": make}
    units = {name: form(**PRODUCT_SIZES) for name, form in forms.items()}
    bits, window = PRODUCT_SIZES["bits"], PRODUCT_SIZES["window"]
    ports = {
        name: Signal(len(getattr(units["shifted product"], name)), name=name)
        for name in ("a", "b", "exponent", "largest", "negative")
    }
    for port in ports.values():
        any_sequence(m, port)
    a, b, exponent, largest = (
        delay(m, ports[name], PRODUCT_LATENCY, name) for name in ("a", "b", "exponent", "largest")
    )
    negative = delay(m, ports["negative"], 1, "negative")
    given(m, ports["largest"] >= ports["exponent"])
    distance = (largest - exponent)[:-1]
    magnitude = (((a * b) << (window - 2 * bits)) >> distance)[:window]
    wanted = Cat(magnitude ^ negative.replicate(window), negative).as_signed()
    flowing = counter(m, 1, PRODUCT_LATENCY) == PRODUCT_LATENCY
    for name, unit in units.items():
        m.submodules[name.replace(" ", "_")] = unit
        m.d.comb += [getattr(unit, port).eq(value) for port, value in ports.items()]
        right = (unit.term == wanted) & (unit.sign == negative)
        always(m, ~flowing | right, f"{name}: the product, cut to the window, complemented")
    reach(m, flowing & negative & (distance == 17) & (magnitude == 6), "a far product")
    reach(m, flowing & (distance > 2 * window) & a.all() & b.all(), "a product falls out")
    return m


def aligned_sum(make: Callable[..., Any] = AlignedSum) -> Module:
    """Give the sum any terms and compare it with integers shifted by their distance."""
    m = Module()
    start(m)
    m.submodules.unit = unit = make(**SUM_SIZES)
    window = SUM_SIZES["window"]
    early = [*unit.exponents, unit.acc_exponent]
    late = [*unit.magnitudes, unit.acc_magnitude]
    for port in (*early, *late, unit.negatives, unit.acc_negative):
        any_sequence(m, port)
    wait = unit.latency - unit.magnitude_delay
    exponents = [delay(m, port, unit.latency, f"e{k}") for k, port in enumerate(early)]
    magnitudes = [delay(m, port, wait, f"m{k}") for k, port in enumerate(late)]
    negatives = delay(m, Cat(unit.negatives, unit.acc_negative), wait, "n")

    largest = Signal(SUM_SIZES["exponent_bits"])
    some = Cat(largest == exponent for exponent in exponents).any()
    given(m, some & Cat(largest >= exponent for exponent in exponents).all())
    any_sequence(m, largest)
    terms = []
    for exponent, magnitude, negative in zip(exponents, magnitudes, negatives, strict=True):
        aligned = (magnitude << (window - len(magnitude))) >> (largest - exponent)[:-1]
        counts = Mux(exponent == 0, 0, aligned)
        terms.append(Mux(negative, -counts, counts))
    # Below this an exponent of 0 counts as one.
    defined = Cat(exponents).any() & ((largest >= 16) | Cat(e != 0 for e in exponents).all())
    flowing = counter(m, 1, unit.latency) == unit.latency
    always(m, ~flowing | (unit.largest == largest), "largest: no exponent is larger")
    always(
        m,
        ~flowing | ~defined | (unit.total == total(terms)),
        "total: the terms' magnitudes over the unit, cut, given their signs and added",
    )
    reach(m, flowing & defined & (unit.total == 0) & (terms[0] != 0), "terms cancel")
    reach(m, flowing & defined & (terms[0] == 0) & magnitudes[0].all(), "a term falls out")
    return m


def rounding(
    make_normalise: Callable[..., Any] = Normalise, make_round: Callable[..., Any] = Round
) -> Module:
    """Normalise and round any integer at any exponent: no float may be nearer than the result."""
    m = Module()
    start(m)
    m.submodules.normalise = normalise = make_normalise(TOTAL_BITS, EXPONENT_BITS)
    m.submodules.round = rounder = make_round(
        TOTAL_BITS - 1, EXPONENT_BITS, FIELD_BITS, MANTISSA_BITS
    )
    nan = Signal()
    any_sequence(m, normalise.total)
    any_sequence(m, normalise.exponent, signed((-LOWEST).bit_length()))
    any_sequence(m, nan)
    given(m, normalise.total != -(1 << (TOTAL_BITS - 1)))
    m.d.comb += [
        rounder.negative.eq(normalise.negative),
        rounder.magnitude.eq(normalise.magnitude),
        rounder.exponent.eq(normalise.normalised),
        rounder.nan.eq(nan),
    ]
    integer = delay(m, normalise.total, ROUND_LATENCY, "integer").as_signed()
    exponent = delay(m, normalise.exponent, ROUND_LATENCY, "exponent").as_signed()
    poisoned = delay(m, nan, Round.LATENCY, "poisoned")
    flowing = counter(m, 1, ROUND_LATENCY) == ROUND_LATENCY

    # Everything in half units: a unit is 2^-below of the smallest subnormal number.
    below = TOTAL_BITS - 2 - MANTISSA_BITS + 1 - LOWEST
    twice = abs(integer) << ((exponent - LOWEST)[:6].as_unsigned() + 1)
    code = rounder.out[:-1]
    number, least, infinity = (_value(x, below) for x in (code, 1 << MANTISSA_BITS, _infinity()))
    nearest = _nearest(twice, code, below)
    subnormal = twice < least + _value((1 << MANTISSA_BITS) - 1, below)
    overflow = twice >= infinity + _value(_infinity() - 1, below)
    quiet = _infinity() | 1 << (MANTISSA_BITS - 1)
    finite = (number >= least) & (number < infinity) & nearest & (rounder.out[-1] == (integer < 0))
    wanted = Mux(
        poisoned | overflow, rounder.out == quiet, Mux(subnormal, rounder.out == 0, finite)
    )
    always(m, ~flowing | wanted, "the nearest float, the even one of two; no subnormal, one NaN")
    reach(m, flowing & ~poisoned & overflow, "a sum overflows")
    reach(m, flowing & ~poisoned & (code == 1 << MANTISSA_BITS) & (twice < 2 * least), "rounded up")
    reach(m, flowing & ~poisoned & subnormal & (integer != 0), "a subnormal result")
    return m


def _infinity() -> int:
    """Return the code after the largest number's."""
    return ((1 << FIELD_BITS) - 1) << MANTISSA_BITS


def _value(code: Any, below: int) -> Value:
    """Return what ``code``, without its sign, stands for, in units."""
    code = Value.cast(code)
    field, mantissa = code[MANTISSA_BITS:], code[:MANTISSA_BITS]
    leading = Cat(mantissa, Const(1, 1))
    subnormal = Mux(field == 0, mantissa, (leading << field) >> 1)
    return Cat(Const(0, below), subnormal)


def _nearest(twice: Value, code: Value, below: int) -> Value:
    """Return whether ``code`` is nearest to half of ``twice``; codes follow in order of value."""
    low, mid, high = (_value(c, below) for c in ((code - 1)[: len(code)], code, code + 1))
    even = ~code[0]
    over = Mux(even, twice >= low + mid, twice > low + mid)
    return over & Mux(even, twice <= mid + high, twice < mid + high)


PROOFS = [
    Proof(
        name="aligned-product",
        claim="a product aligned by either form is that of the plain definition",
        harness=aligned_product,
        depth=PRODUCT_LATENCY + 1,
        induct=True,
        cover_depth=PRODUCT_LATENCY + 2,
        effort=10,
    ),
    Proof(
        name="aligned-sum",
        claim="the aligned sum is that of the plain definition, in exact integers",
        harness=aligned_sum,
        depth=SUM_LATENCY + 1,
        induct=True,
        cover_depth=SUM_LATENCY + 2,
        effort=10,
    ),
    Proof(
        name="rounding",
        claim="normalised and rounded: the nearest float, the even one of two; flushed, NaN",
        harness=rounding,
        depth=ROUND_LATENCY + 1,
        induct=True,
        cover_depth=ROUND_LATENCY + 2,
        effort=10,
    ),
]
