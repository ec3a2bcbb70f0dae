"""A product of operands that are too wide for one multiplier."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.multiplier import Multiplier
from vrex_hw.vpe import fp32

PART_BITS = 18
"""Operands up to this width are one multiplier's: a block of an FPGA takes them."""


class Product(wiring.Component):
    """``product = a * b``, unsigned and full width, one a cycle.

    Where the wider operand is above :data:`PART_BITS` it is halved: two products, and a cycle
    later their sum. Latency :attr:`latency`. Source: our decision.

    ``a_bits``, ``b_bits``: widths of the operands, 1 or more, else ValueError.
    """

    def __init__(self, a_bits: int, b_bits: int) -> None:
        """Make it for operands of ``a_bits`` and ``b_bits`` bits."""
        self.latency = latency(a_bits, b_bits)
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: Any) -> Module:
        """Multiply, or halve and add."""
        m = Module()
        wide, other = (self.a, self.b) if len(self.a) >= len(self.b) else (self.b, self.a)
        if len(wide) <= PART_BITS:
            m.submodules.multiplier = whole = Multiplier(len(wide), len(other))
            m.d.comb += [whole.a.eq(wide), whole.b.eq(other), self.product.eq(whole.product)]
            return m
        half = len(wide) // 2
        m.submodules.low = low = Product(half, len(other))
        m.submodules.high = high = Product(len(wide) - half, len(other))
        total = Signal(len(self.product), reset_less=True)
        m.d.comb += [
            low.a.eq(wide[:half]),
            low.b.eq(other),
            high.a.eq(wide[half:]),
            high.b.eq(other),
            self.product.eq(total),
        ]
        early = fp32.delay(m, low.product, high.latency - low.latency, "early")
        m.d.sync += total.eq(Cat(early[:half], early[half:] + high.product))
        return m


def latency(a_bits: int, b_bits: int) -> int:
    """Return the latency of a product of these widths: a cycle for each time it is halved."""
    wide, other = max(a_bits, b_bits), min(a_bits, b_bits)
    if wide <= PART_BITS:
        return Multiplier.LATENCY
    # The higher half is the wider one where they differ, and may take a cycle more.
    return 1 + latency(wide - wide // 2, other)
