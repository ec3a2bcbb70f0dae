"""Beats for the trees: random operands of many kinds, biased to the corners."""

CORNERS = [
    *(0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x80FF),  # zeros, subnormals, smallest normals
    *(0x7F7F, 0xFF00, 0x7F80, 0xFF80, 0x7FC0),  # largest, infinities, NaN
    *(0x3F80, 0xBF80, 0x3FFF, 0x4000, 0xC07F),  # about 1
]
ACC_CORNERS = [
    *(0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x80FFFFFF),
    *(0x7F7FFFFF, 0xFF000000, 0x7F800000, 0xFF800000, 0x7FC00000),
    *(0x3F800000, 0xBF800000, 0x3FFFFFFF, 0x4B7FFFFF, 0xCB800001),
]
# Exponent fields of a and b, and of the accumulator.
RANGES = {
    "alike": ((120, 130), (118, 138)),
    "wide": ((1, 254), (1, 254)),
    "all subnormal": ((0, 0), (0, 0)),
    "to subnormal": ((50, 75), (1, 10)),
    "near subnormal": ((60, 66), (1, 4)),
    "to overflow": ((186, 192), (246, 254)),
    "window": ((113, 141), (90, 150)),
}


def number(random, exponents, fraction_bits):
    fraction = random.choice([0, (1 << fraction_bits) - 1, random.getrandbits(fraction_bits)])
    sign = random.getrandbits(1)
    return (sign << 8 | random.randint(*exponents)) << fraction_bits | fraction


def beat(random, width):
    """Return (a, b, live, acc)."""
    kind = random.choice(["corners", "any", "cancel", "one huge", *RANGES])
    if kind == "corners":
        a, b = ([random.choice(CORNERS) for _ in range(width)] for _ in "ab")
        acc = random.choice(ACC_CORNERS)
    elif kind == "any":
        a, b = ([random.getrandbits(16) for _ in range(width)] for _ in "ab")
        acc = random.getrandbits(32)
    else:
        exponents, acc_exponents = RANGES.get(kind, RANGES["alike"])
        a, b = ([number(random, exponents, 7) for _ in range(width)] for _ in "ab")
        acc = number(random, acc_exponents, 23)
    if kind == "cancel":
        cancel(random, a, b)
        acc = random.choice([0, acc])
    if kind == "one huge":
        at = random.randrange(width)
        a[at], b[at] = (number(random, (137, 142), 7) for _ in "ab")
    live = random.choice(
        [(1 << width) - 1, random.getrandbits(width), 1 << random.randrange(width)]
    )
    return a, b, live, acc


def cancel(random, a, b):
    """Make the products of pairs opposite, but for a little here and there."""
    for j in range(0, len(a) - 1, 2):
        a[j + 1], b[j + 1] = a[j] ^ 0x8000, b[j]
        if random.random() < 0.2:
            b[j + 1] ^= 1
