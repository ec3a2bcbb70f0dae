"""What passes inside the ports of device memory, and the sizes that follow from a configuration."""

from dataclasses import dataclass
from typing import Any

from amaranth import Signal
from amaranth.lib import data
from amaranth.utils import exact_log2

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import BURST, LINE

ID_BITS = 4
"""Bits of an AXI ID: the number of the client, so a port has 16 at most."""
OUTSTANDING = 64
"""Bursts of a client that may wait for their answer when writing."""

CHOSEN = data.StructLayout({"client": ID_BITS, "address": LINE, "lines": BURST, "outside": 1})
"""A request in its turn; ``outside``: it leaves its bounds and must not reach the memory."""
BURST_OF = data.StructLayout(
    {"client": ID_BITS, "address": LINE, "lines": BURST, "last": 1, "outside": 1}
)
"""One burst of a request, of whole lines; ``last``: its request ends with it."""


@dataclass(frozen=True)
class Sizes:
    """Lines, beats and bursts of one configuration."""

    config: Config

    @property
    def line_bytes(self) -> int:
        """Bytes of a line."""
        return 2 * self.config.lxe.side

    @property
    def bus_bytes(self) -> int:
        """Bytes of a beat."""
        return self.config.kvmu.bus_bytes

    @property
    def beats(self) -> int:
        """Beats of a line, a power of two."""
        return self.line_bytes // self.bus_bytes

    @property
    def burst_lines(self) -> int:
        """Most lines of a burst, a power of two.

        Bursts end at its multiples: none then crosses a page or has more beats than AXI allows.
        """
        return min(axi.PAGE // self.line_bytes, axi.LONGEST // self.beats)

    @property
    def space(self) -> int:
        """Lines that line numbers and byte addresses both reach."""
        shift = exact_log2(self.line_bytes)
        return 1 << min(LINE, self.config.kvmu.address_bits - shift)

    def check(self, clients: int) -> None:
        """Raise :class:`ValueError` for a bus wider than a line, or too many or no clients."""
        if self.bus_bytes > self.line_bytes:
            raise ValueError(
                f"a bus of {self.bus_bytes} bytes cannot carry lines of {self.line_bytes}"
            )
        if not 1 <= clients <= 1 << ID_BITS:
            raise ValueError(f"clients is {clients!r}: it must be from 1 to {1 << ID_BITS}")

    def channel(self, prefix: str, interface: Any, payload: Any) -> list[Any]:
        """Return the wires of a burst ``payload`` to the AR or AW of ``interface``."""
        length = Signal(BURST, name=f"{prefix}_length")
        drive = {
            "id": payload.client,
            "addr": payload.address << exact_log2(self.line_bytes),
            "len": length,
            "size": exact_log2(self.bus_bytes),
            "burst": axi.INCREMENT,
        }
        wires = [getattr(interface, prefix + name).eq(value) for name, value in drive.items()]
        return [*wires, length.eq((payload.lines << exact_log2(self.beats)) - 1)]
