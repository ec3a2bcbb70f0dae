"""Builds emitted Verilog into a shared library whose loop runs in C++ (``loop.h``)."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from vrex_sim import ports, verilate
from vrex_sim.ports import Port, Stream
from vrex_sim.verilate import BuildError

LIBRARY = "device.so"
HERE = Path(__file__).parent
SOURCES = ("loop.h", "harness.cpp")
VERILATOR = (
    "--cc",
    "--exe",
    "--build",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--no-timing",
    "-Wno-fatal",
    "-Wno-lint",
    "--prefix",
    "Vtop",
)
COMPILER = "-fPIC -fno-gnu-unique -fvisibility=hidden -std=c++17"
HIERARCHICAL = ("--hierarchical", "-MAKEFLAGS", "OPT_FAST=-O3")
"""A design large enough for blocks of its own is worth the compiler's time."""
LARGE = 5_000_000
"""Bytes of Verilog, every place counted, from which on a repeated module is a block."""
_INSTANCE = re.compile(r"^  \\?(\S+) +\\?\S+ +\($", re.M)
LINKER = "-shared -Wl,-Bsymbolic"


def build(verilog: str, top: str) -> Path:
    """Build module ``top`` of ``verilog`` and return the shared library; equal text is built once.

    Raises UserError when a tool is missing and BuildError when Verilator or the compiler fails.
    """
    sources = [(HERE / name).read_text() for name in SOURCES]
    parts = ["compiled", verilog, top, *sources, *VERILATOR, *HIERARCHICAL, COMPILER, LINKER]
    return verilate.cached(top, parts, lambda where: _build(verilog, top, where)) / LIBRARY


def _build(verilog: str, top: str, where: Path) -> None:
    (where / f"{top}.v").write_text(verilog)
    (where / "model.h").write_text(model(*ports.group(ports.read(verilog, top))))
    for name in SOURCES:
        (where / name).write_text((HERE / name).read_text())
    blocks, shared = repeated(verilog)
    control = [f'hier_block -module "{name}"' for name in blocks]
    control += [f'no_inline -module "{name}"' for name in shared]
    (where / "control.vlt").write_text("\n".join(["`verilator_config", *control, ""]))
    log = where / "build.log"
    with verilate.toolchain(), log.open("w") as out:
        command = [
            *("verilator", *VERILATOR, "--top-module", top, "--Mdir", "."),
            *(HIERARCHICAL if blocks else ()),
            *("-j", str(os.cpu_count() or 1), "-CFLAGS", COMPILER, "-LDFLAGS", LINKER),
            *("-o", LIBRARY, "control.vlt", f"{top}.v", "harness.cpp"),
        ]
        done = subprocess.run(command, cwd=where, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        raise BuildError(f"{top} does not build, log {log}:\n{verilate.tail(log)}")


def repeated(verilog: str) -> tuple[list[str], list[str]]:
    """Return the modules that Verilator compiles by themselves, and others that stand repeatedly.

    The first are large ones: they are verilated and compiled once however often they stand, where
    flattened into the top they would take minutes and gigabytes. What is inside them is in
    neither list.
    """
    bodies = dict(re.findall(r"^(?s:module \\?(\S+?)\s*\((.*?)^endmodule)", verilog, re.M))
    inside = {
        name: Counter(child for child in _INSTANCE.findall(body) if child in bodies)
        for name, body in bodies.items()
    }
    places = sum(inside.values(), Counter())

    def below(name: str) -> set[str]:
        return {name}.union(*(below(child) for child in inside[name]))

    often = sorted(name for name in bodies if places[name] > 1)
    blocks = [n for n in often if sum(len(bodies[m]) for m in below(n)) * places[n] > LARGE]
    hidden = set().union(*(below(name) for name in blocks))
    return blocks, [name for name in often if name not in hidden]


def model(streams: list[Stream], plain: list[Port]) -> str:
    """Return the header that tells the loop what the top's ports are."""
    lines = [
        '#include "Vtop.h"',
        "struct Model {",
        "    VerilatedContext context;",
        "    Vtop top{&context};",
        f"    uint8_t* clk() {{ return {_at('clk')}; }}",
        f"    uint8_t* rst() {{ return {_at('rst')}; }}",
        "    void eval() { top.eval(); }",
        "    std::vector<Stream> streams() {",
        "        return {",
        *(f"            {_stream(stream)}," for stream in streams),
        "        };",
        "    }",
        "    std::vector<Port> plain() {",
        f"        return {{{', '.join(map(_port, plain))}}};",
        "    }",
        "};",
    ]
    return "\n".join([*lines, ""])


def _stream(stream: Stream) -> str:
    payload = ", ".join(map(_port, stream.payload))
    direction = str(stream.input).lower()
    valid, ready = _at(f"{stream.prefix}valid"), _at(f"{stream.prefix}ready")
    return f"{{{direction}, {valid}, {ready}, {{{payload}}}}}"


def _port(port: Port) -> str:
    return f"{{{_at(port.name)}, {port.bytes}}}"


def _at(name: str) -> str:
    """Return the place of a port, whose name Verilator spells without double underscores."""
    return f"(uint8_t*)&top.{name.replace('__', '___05F')}"
