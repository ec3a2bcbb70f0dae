"""The aligned sum once more, in Python's integers: nothing shared with resv_ref or the RTL."""

from fractions import Fraction

NAN = 0x7FC00000


def beat(a, b, live, acc, window=28):
    """Return the fp32 bits of one beat: BF16 bits ``a`` and ``b``, ``live`` bits, ``acc`` bits."""
    terms = []  # (exponent, magnitude as a fraction of 2^exponent, sign)
    for j, (x, y) in enumerate(zip(a, b, strict=True)):
        if not live >> j & 1:
            continue
        ex, ey = x >> 7 & 255, y >> 7 & 255
        if 255 in (ex, ey):
            return NAN
        if ex and ey:
            product = (128 + (x & 127)) * (128 + (y & 127))
            sign = (x ^ y) >> 15
            terms.append((ex + ey - 254, Fraction(product, 1 << 14), sign))
    field = acc >> 23 & 255
    if field == 255:
        return NAN
    if field:
        terms.append((field - 127, Fraction((acc & 0x7FFFFF) | 1 << 23, 1 << 23), acc >> 31))
    if not terms:
        return 0
    largest = max(term[0] for term in terms)
    unit = Fraction(2) ** (largest + 2 - window)
    total = 0
    for exponent, fraction, sign in terms:
        aligned = fraction * Fraction(2) ** exponent // unit
        total += -aligned if sign else aligned
    return round_to_fp32(total * unit)


def round_to_fp32(value):
    """Return the fp32 bits of a fraction: IEEE rounding to nearest even, then no subnormals."""
    sign, value = value < 0, abs(value)
    if not value:
        return 0
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    while Fraction(2) ** exponent > value:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= value:
        exponent += 1
    ulp = Fraction(2) ** (max(exponent, -126) - 23)
    steps = round(value / ulp)  # Python rounds halves to even
    if steps * ulp < Fraction(2) ** -126:
        return 0
    if steps * ulp >= Fraction(2) ** 128:
        return NAN
    while steps >= 1 << 24:
        steps, ulp, exponent = steps // 2, ulp * 2, exponent + 1
    field = max(exponent, -126) + 127
    return sign << 31 | field << 23 | (steps & 0x7FFFFF)
