"""The C header and the page of documentation, both made from the register map."""

from collections.abc import Iterator

from vrex_hw.config import Config
from vrex_hw.registers.map import REGISTERS, Access, Register, constants


def c_header(config: Config) -> str:
    """Return a C header with every address, bit and constant for ``config``."""
    lines = [
        "/* Registers of the V-Rex KVPU: byte offsets, bits, and the constants of configuration",
        f" * {config.name}. Generated from the register map; do not edit. */",
        "#ifndef VREX_KVPU_H",
        "#define VREX_KVPU_H",
        "",
        *(_define(r.name, f"0x{r.offset:03X}u") for r in REGISTERS),
        "",
    ]
    for register in REGISTERS:
        for bit, flag in enumerate(register.flags):
            lines.append(_define(f"{register.name}_{flag.name}", f"(1u << {bit})"))
    lines.append("")
    values = constants(config)
    lines += [_define(f"{name}_value", f"0x{value:08X}u") for name, value in values.items()]
    return "\n".join([*lines, "", "#endif", ""])


def _define(name: str, value: str) -> str:
    return f"#define {f'VREX_{name.upper()}':<40} {value}"


def page() -> str:
    """Return the page of documentation, as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Registers of the KVPU"
    yield ""
    yield "Made from `vrex_hw/registers/map.py` by `python -m vrex_hw.registers`; do not edit."
    yield ""
    yield "32-bit registers on AXI4-Lite (`s_axil`), 12 bits of byte address, byte strobes"
    yield "honoured. An address that is not listed answers SLVERR, reads 0 and changes nothing. A"
    yield "write to a read-only register answers OKAY and changes nothing. The addresses are the"
    yield "same in every configuration."
    yield ""
    yield "Writing 1 to a start bit of `command` queues a job made of the registers as they are in"
    yield "that cycle, parameters included: registers may be written at any time, and a job that"
    yield "was started keeps what it was started with. A job whose parameters differ from those of"
    yield "the jobs in the unit waits until these have finished. A start that finds the queue full"
    yield "makes no job and sets a status bit."
    for access in Access:
        group = [register for register in REGISTERS if register.access is access]
        yield from ("", f"## {access.name.capitalize()} registers: {access.value}", "")
        yield from ("| address | name | bits | after reset | meaning |", "| --- " * 5 + "|")
        for register in group:
            yield (
                f"| 0x{register.offset:03X} | `{register.name}` | {register.bits} "
                f"| {_reset(register)} | {register.doc} |"
            )
    for register in REGISTERS:
        if register.flags:
            yield from ("", f"## Bits of `{register.name}`", "")
            yield from ("| bit | name | kind | meaning |", "| --- " * 4 + "|")
            for bit, flag in enumerate(register.flags):
                yield f"| {bit} | `{flag.name}` | {_kind(register, flag.sticky)} | {flag.doc} |"


def _reset(register: Register) -> str:
    return "constant" if register.access is Access.CONSTANT else str(register.reset)


def _kind(register: Register, sticky: bool) -> str:
    if register.access is Access.COMMAND:
        return "pulse"
    return "sticky" if sticky else "level"
