"""The register map and what is made from it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vrex_hw.axi import LiteSignature, StreamSignature
from vrex_hw.config import CONFIGS
from vrex_hw.registers import ADDRESS_BITS, CORE, KVPU, Access
from vrex_hw.registers.render import c_header, page

DOCS = Path(__file__).parents[2] / "docs"


MAPS = pytest.mark.parametrize("registers", [KVPU, CORE], ids=lambda one: one.unit)


@MAPS
def test_names_and_addresses_are_unique_and_fit(registers):
    places = registers.address
    assert len(places) == len(registers.registers) == len(set(places.values()))
    for register in registers.registers:
        assert register.offset % 4 == 0
        assert register.offset < 1 << ADDRESS_BITS
        assert register.reset < 1 << register.bits <= 1 << 32
        assert len({flag.name for flag in register.flags}) == len(register.flags)
        if register.flags:
            assert sum(registers.mask[register.name].values()) == (1 << register.bits) - 1
    named = {r.name for r in registers.of(Access.CONSTANT)}
    assert set(registers.constants(CONFIGS["core"])) == named


def test_what_a_driver_of_the_core_knows_stays_where_it_was():
    """What came later lies behind; a core that is told nothing of text selects as ever."""
    names = ("k_min", "k_max", "write_statuses", "job_id", "job_fence", "job_state", "job_q_stride")
    places = (0x054, 0x058, 0x144, 0x180, 0x184, 0x188, 0x1B8)
    assert tuple(CORE.address[name] for name in names) == places
    reset = {register.name: register.reset for register in CORE.registers}
    assert reset["job_text"] == 0
    assert (reset["text_k_min"], reset["text_k_max"]) == (reset["k_min"], reset["k_max"])


@pytest.mark.parametrize(("registers", "name"), [(KVPU, "kvpu"), (CORE, "core")])
def test_the_page_is_the_one_in_docs(registers, name):
    assert page(registers) == (DOCS / f"registers-{name}.md").read_text(), (
        f"run python -m vrex_hw.registers {name} > docs/registers-{name}.md"
    )


@MAPS
def test_the_header_says_what_the_map_says(registers, tmp_path):
    text = c_header(registers, CONFIGS["core"])
    defined = dict(re.findall(r"^#define (VREX_\w+) +(\S.*)$", text, re.M))
    for register in registers.registers:
        assert int(defined[f"VREX_{register.name.upper()}"][:-1], 16) == register.offset
        for bit, flag in enumerate(register.flags):
            name = f"VREX_{register.name}_{flag.name}".upper()
            assert defined[name] == f"(1u << {bit})"
    for name, value in registers.constants(CONFIGS["core"]).items():
        assert int(defined[f"VREX_{name.upper()}_VALUE"][:-1], 16) == value


@pytest.mark.parametrize("standard", ["c99", "c++11"])
def test_the_header_compiles(standard, tmp_path):
    (tmp_path / "vrex_kvpu.h").write_text(c_header(KVPU, CONFIGS["tiny"]))
    source = tmp_path / ("main.c" if standard == "c99" else "main.cc")
    source.write_text('#include "vrex_kvpu.h"\n#include "vrex_kvpu.h"\nint a[VREX_MAGIC + 1];\n')
    compiler = shutil.which("gcc" if standard == "c99" else "g++")
    command = [compiler, f"-std={standard}", "-Wall", "-Werror", "-fsyntax-only", str(source)]
    subprocess.run(command, check=True)


def test_axi_signatures_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="TDATA is 12 bits wide"):
        StreamSignature(12)
    with pytest.raises(ValueError, match="address_bits is 33"):
        LiteSignature(33)
    assert StreamSignature(16, keep=True).members["tkeep"].shape == 2
