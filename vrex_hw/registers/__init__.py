"""The registers of a top: one description makes the RTL, the constants, the header and the page."""

from vrex_hw.registers.core import CORE
from vrex_hw.registers.kvpu import KVPU
from vrex_hw.registers.model import ADDRESS_BITS, Access, Bit, Register, RegisterMap

__all__ = ["ADDRESS_BITS", "CORE", "KVPU", "Access", "Bit", "Register", "RegisterMap"]
