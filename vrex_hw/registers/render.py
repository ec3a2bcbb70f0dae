"""The C header and the page of documentation, both made from the register map."""

from collections.abc import Iterator

from vrex_hw.config import Config
from vrex_hw.registers.model import Access, Register, RegisterMap


def c_header(registers: RegisterMap, config: Config) -> str:
    """Return a C header with every address, bit and constant for ``config``."""
    unit = registers.unit
    guard = f"VREX_{unit.upper()}_H"
    lines = [
        f"/* Registers of the V-Rex {unit}: byte offsets, bits, and the constants of configuration",
        f" * {config.name}. Generated from the register map; do not edit. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *(_define(r.name, f"0x{r.offset:03X}u") for r in registers.registers),
        "",
    ]
    for register in registers.registers:
        for bit, flag in enumerate(register.flags):
            lines.append(_define(f"{register.name}_{flag.name}", f"(1u << {bit})"))
    lines.append("")
    values = registers.constants(config)
    lines += [_define(f"{name}_value", f"0x{value:08X}u") for name, value in values.items()]
    return "\n".join([*lines, "", "#endif", ""])


def _define(name: str, value: str) -> str:
    return f"#define {f'VREX_{name.upper()}':<40} {value}"


def page(registers: RegisterMap) -> str:
    """Return the page of documentation, as Markdown."""
    return "\n".join(_page(registers)) + "\n"


def _page(registers: RegisterMap) -> Iterator[str]:
    unit = registers.unit
    name = unit.lower()
    yield f"# Registers of the {unit}"
    yield ""
    yield f"Made from `vrex_hw/registers/{name}.py` by `python -m vrex_hw.registers {name}`;"
    yield "do not edit."
    yield ""
    yield "32-bit registers on AXI4-Lite (`s_axil`), 12 bits of byte address, byte strobes"
    yield "honoured. An address that is not listed answers SLVERR, reads 0 and changes nothing. A"
    yield "write to a read-only register answers OKAY and changes nothing. The addresses are the"
    yield "same in every configuration."
    yield ""
    yield registers.notes
    for access in Access:
        group = registers.of(access)
        if not group:
            continue
        yield from ("", f"## {access.name.capitalize()} registers: {access.value}", "")
        yield from ("| address | name | bits | after reset | meaning |", "| --- " * 5 + "|")
        for register in group:
            yield (
                f"| 0x{register.offset:03X} | `{register.name}` | {register.bits} "
                f"| {_reset(register)} | {register.doc} |"
            )
    for register in registers.registers:
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
