"""The KVPU's registers: one description makes the RTL, the constants, the header and the page."""

from vrex_hw.registers.map import (
    ADDRESS,
    ADDRESS_BITS,
    MASK,
    QUEUE_DEPTH,
    REGISTERS,
    SINKS,
    SOURCES,
    Access,
    Bit,
    Register,
)

__all__ = [
    "ADDRESS",
    "ADDRESS_BITS",
    "MASK",
    "QUEUE_DEPTH",
    "REGISTERS",
    "SINKS",
    "SOURCES",
    "Access",
    "Bit",
    "Register",
]
