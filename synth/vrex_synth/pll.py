"""The ECP5's phase-locked loop: its dividers for a wanted clock, and the clock domain it drives."""

from dataclasses import dataclass
from typing import Any

from amaranth import (
    ClockDomain,
    ClockSignal,
    Const,
    Instance,
    Module,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex import UserError

VCO_MHZ = (400.0, 800.0)
OUTPUT_MHZ = (3.125, 400.0)
DETECTOR_MHZ = 3.125
"""Ranges of the oscillator and of the output, and the least frequency of the phase detector
(Lattice FPGA-DS-02012, sysCLOCK PLL)."""
MOST = 128
"""Greatest value of a divider."""


@dataclass(frozen=True)
class Dividers:
    """Input, feedback and output divider; the output is ``input_mhz * feedback / reference``."""

    reference: int
    feedback: int
    output: int


def dividers(input_mhz: float, output_mhz: float) -> Dividers:
    """Return the dividers that give exactly ``output_mhz``, the smallest reference divider.

    Raises :class:`~vrex.UserError` naming the frequency if there are none.
    """
    in_range = OUTPUT_MHZ[0] <= output_mhz <= OUTPUT_MHZ[1]
    outputs = [n for n in range(1, MOST + 1) if VCO_MHZ[0] <= output_mhz * n <= VCO_MHZ[1]]
    for reference in range(1, int(input_mhz / DETECTOR_MHZ) + 1):
        feedback = round(output_mhz * reference / input_mhz)
        exact = abs(input_mhz * feedback / reference - output_mhz) < 1e-9
        if in_range and outputs and exact and feedback <= MOST:
            return Dividers(reference=reference, feedback=feedback, output=outputs[0])
    raise UserError(
        f"the PLL cannot make {output_mhz:g} MHz from {input_mhz:g} MHz: take a multiple of "
        f"5 MHz from 10 to 400"
    )


class PLL(wiring.Component):
    """Drives the domain ``sync``, which has no reset, at ``output_mhz`` from ``clkin``.

    Until ``locked`` the clock may do anything: what must not come out of it in a wrong state has
    to be reset by ``locked``, which is asynchronous.
    """

    def __init__(self, input_mhz: float, output_mhz: float) -> None:
        """Raise :class:`~vrex.UserError` if the dividers cannot make ``output_mhz``."""
        self._dividers = dividers(input_mhz, output_mhz)
        self._input_mhz = input_mhz
        self._output_mhz = output_mhz
        super().__init__(
            {
                "clkin": In(1),
                "locked": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Instantiate the primitive, with the loop filter of the vendor's own settings."""
        m = Module()
        m.domains.sync = ClockDomain("sync", reset_less=True)
        clock = Signal()
        ratio = self._dividers
        m.submodules.pll = Instance(
            "EHXPLLL",
            ("a", "FREQUENCY_PIN_CLKI", f"{self._input_mhz:g}"),
            ("a", "FREQUENCY_PIN_CLKOP", f"{self._output_mhz:g}"),
            ("a", "ICP_CURRENT", "12"),
            ("a", "LPF_RESISTOR", "8"),
            ("p", "PLLRST_ENA", "DISABLED"),
            ("p", "INTFB_WAKE", "DISABLED"),
            ("p", "STDBY_ENABLE", "DISABLED"),
            ("p", "DPHASE_SOURCE", "DISABLED"),
            ("p", "OUTDIVIDER_MUXA", "DIVA"),
            ("p", "FEEDBK_PATH", "CLKOP"),
            ("p", "CLKI_DIV", ratio.reference),
            ("p", "CLKFB_DIV", ratio.feedback),
            ("p", "CLKOP_ENABLE", "ENABLED"),
            ("p", "CLKOP_DIV", ratio.output),
            ("p", "CLKOP_CPHASE", ratio.output - 1),
            ("p", "CLKOP_FPHASE", 0),
            ("i", "CLKI", self.clkin),
            ("i", "CLKFB", clock),
            ("i", "RST", Const(0)),
            ("i", "STDBY", Const(0)),
            ("i", "ENCLKOP", Const(0)),
            ("o", "CLKOP", clock),
            ("o", "LOCK", self.locked),
        )
        m.d.comb += ClockSignal("sync").eq(clock)
        return m
