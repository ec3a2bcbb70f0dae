"""Builds emitted Verilog into a shared library whose loop runs in C++ (``loop.h``)."""

import os
import subprocess
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
LINKER = "-shared -Wl,-Bsymbolic"


def build(verilog: str, top: str) -> Path:
    """Build module ``top`` of ``verilog`` and return the shared library; equal text is built once.

    Raises UserError when a tool is missing and BuildError when Verilator or the compiler fails.
    """
    sources = [(HERE / name).read_text() for name in SOURCES]
    parts = ["compiled", verilog, top, *sources, *VERILATOR, COMPILER, LINKER]
    return verilate.cached(top, parts, lambda where: _build(verilog, top, where)) / LIBRARY


def _build(verilog: str, top: str, where: Path) -> None:
    (where / f"{top}.v").write_text(verilog)
    (where / "model.h").write_text(model(*ports.group(ports.read(verilog, top))))
    for name in SOURCES:
        (where / name).write_text((HERE / name).read_text())
    blocks, shared = verilate.repeated(verilog)
    control = [f'hier_block -module "{name}"' for name in blocks]
    control += [f'no_inline -module "{name}"' for name in shared]
    (where / "control.vlt").write_text("\n".join(["`verilator_config", *control, ""]))
    log = where / "build.log"
    with verilate.toolchain(), log.open("w") as out:
        command = [
            *("verilator", *VERILATOR, "--top-module", top, "--Mdir", "."),
            *(verilate.HIERARCHICAL if blocks else ()),
            *("-j", str(os.cpu_count() or 1), "-CFLAGS", COMPILER, "-LDFLAGS", LINKER),
            *("-o", LIBRARY, "control.vlt", f"{top}.v", "harness.cpp"),
        ]
        done = subprocess.run(command, cwd=where, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        raise BuildError(f"{top} does not build, log {log}:\n{verilate.tail(log)}")


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
