"""What a register map is made of; the RTL, constants, header and page come from one."""

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from vrex_hw.config import Config

ADDRESS_BITS = 12
"""A block takes 4 KiB of address space; what is not listed answers SLVERR."""
MAGIC = 0x56524558
"""``VREX`` in ASCII."""
VERSION = 0x00000300
"""Major in bits 31 to 16, minor 15 to 8, patch 7 to 0; a new major breaks drivers."""


class Access(enum.Enum):
    """What reading and writing a register does. A write to a read-only one changes nothing."""

    CONSTANT = "read-only, fixed when the hardware is generated"
    SETTING = "read and write"
    COMMAND = "write 1 to a bit to do it; reads as 0"
    STATUS = "level bits are read-only; sticky bits are cleared by writing 1"
    COUNTER = "read-only, wraps at 2^32, cleared by command.clear_counters"
    VALUE = "read-only, what the hardware is at"


@dataclass(frozen=True)
class Bit:
    """One named bit of a command or status register; bits are numbered in order from 0."""

    name: str
    doc: str
    sticky: bool = False


@dataclass(frozen=True)
class Register:
    """One 32-bit register, or the low ``bits`` of it (the rest reads 0 and ignores writes)."""

    name: str
    offset: int
    access: Access
    doc: str
    bits: int = 32
    reset: int = 0
    flags: tuple[Bit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RegisterMap:
    """The registers of one top. The addresses are the same in every configuration."""

    unit: str
    """What it is the map of, as headings call it."""
    registers: tuple[Register, ...]
    """Every register, by rising address."""
    constants: Callable[[Config], dict[str, int]]
    """The value of every constant register for a configuration."""
    notes: str
    """What its page says of the commands."""

    @cached_property
    def address(self) -> Mapping[str, int]:
        """Byte address of each register, by name."""
        return {register.name: register.offset for register in self.registers}

    @cached_property
    def mask(self) -> Mapping[str, Mapping[str, int]]:
        """Mask of each named bit: ``mask["status"]["row_too_long"]``."""
        return {
            register.name: {flag.name: 1 << bit for bit, flag in enumerate(register.flags)}
            for register in self.registers
            if register.flags
        }

    def of(self, access: Access) -> list[Register]:
        """Return the registers of one kind."""
        return [register for register in self.registers if register.access is access]

    def flags(self, access: Access) -> tuple[Bit, ...]:
        """Return the bits of the command or the status register."""
        return self.of(access)[0].flags


Fields = Iterable[tuple[str, int, int, str]]
"""Name, bits, reset value and meaning of settings."""


def block(offset: int, access: Access, fields: Iterable[tuple[str, str]]) -> Iterable[Register]:
    """Yield 32-bit registers from ``offset`` on, by name and meaning."""
    for index, (name, doc) in enumerate(fields):
        yield Register(name, offset + 4 * index, access, doc)


def settings(offset: int, fields: Fields) -> Iterable[Register]:
    """Yield settings from ``offset`` on."""
    for index, (name, bits, reset, doc) in enumerate(fields):
        yield Register(name, offset + 4 * index, Access.SETTING, doc, bits, reset)


def flags(name: str, offset: int, access: Access, bits: tuple[Bit, ...], doc: str) -> Register:
    """Return a register of named bits."""
    return Register(name, offset, access, doc, len(bits), flags=bits)
