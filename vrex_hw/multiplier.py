"""An unsigned multiplier with registered operands and a registered product."""

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ECP5 = "LFE5U"
"""What the names of ECP5 devices begin with."""
ECP5_BITS = 18
"""Bits of either operand of one MULT18X18D."""


def on_ecp5(platform: Any) -> bool:
    """Return whether what is made for ``platform`` may use an ECP5's cells."""
    return str(getattr(platform, "device", "")).startswith(ECP5)


class Multiplier(wiring.Component):
    """``product = a * b``, unsigned and full width, one a cycle.

    Latency 2: operands are registered, then the product. This is the shape of a DSP block with
    its input and output registers on. For a platform whose ``device`` is an ECP5 it is such a
    block, as synthesis would leave the registers outside it; a test shows the two equal.

    Parameters
    ----------
    a_bits, b_bits : widths of the operands, 1 or more. Up to 18 by 18 is one ECP5 MULT18X18D.
    """

    LATENCY = 2

    def __init__(self, a_bits: int, b_bits: int) -> None:
        """Raise ValueError when a width is below 1."""
        if a_bits < 1 or b_bits < 1:
            raise ValueError(f"multiplier operands are {a_bits} and {b_bits} bits: 1 or more")
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: Any) -> Module:
        """Two ranks of registers around one multiply, or a DSP block."""
        m = Module()
        fits = max(len(self.a), len(self.b)) <= ECP5_BITS
        if fits and on_ecp5(platform):
            m.submodules.dsp = self._mult18x18d()
        else:
            a = Signal.like(self.a, reset_less=True)
            b = Signal.like(self.b, reset_less=True)
            product = Signal.like(self.product, reset_less=True)
            m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
            m.d.comb += self.product.eq(product)
        return m

    def _mult18x18d(self) -> Instance:
        """Return a DSP block with its input and output registers on, without reset."""
        ports: dict[str, Any] = {"i_CLK0": ClockSignal(), "i_CE0": 1, "i_RST0": 0}
        for letter, operand in (("A", self.a), ("B", self.b)):
            for k in range(ECP5_BITS):
                ports[f"i_{letter}{k}"] = operand[k] if k < len(operand) else 0
            ports |= {f"i_SIGNED{letter}": 0, f"i_SOURCE{letter}": 0}
            for name, value in (("CLK", "CLK0"), ("CE", "CE0"), ("RST", "RST0")):
                ports[f"p_REG_INPUT{letter}_{name}"] = value
                ports[f"p_REG_OUTPUT_{name}"] = value
        ports |= {f"o_P{k}": bit for k, bit in enumerate(self.product)}
        return Instance("MULT18X18D", p_REG_PIPELINE_CLK="NONE", p_GSR="DISABLED", **ports)
