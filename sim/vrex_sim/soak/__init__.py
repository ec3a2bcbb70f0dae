"""Soak of a DPE tree: millions of random beats in a compiled model against plain integers.

The tree's emitted Verilog becomes a C++ program without cocotb: :mod:`tree.cpp` drives it,
``beats.h`` makes the beats and ``model.h`` says what has to come out. ``make soak`` runs ten
million beats through the 64-wide tree; ``make test`` a small share of that, and checks the model
itself against the reference.
"""

import subprocess
from pathlib import Path

import numpy as np

from vrex import HardwareError
from vrex_hw.dpe import Tree
from vrex_hw.hierarchy import convert
from vrex_sim.verilate import build_root, tail, toolchain

SOURCES = Path(__file__).parent


def build(width: int = 64, window: int = 28, *, optimise: bool = True) -> Path:
    """Compile the soak of a tree, 64 inputs or fewer (a power of two), and return its program.

    Not to ``optimise`` halves the time it takes; the program is twice as slow.
    Raises :class:`~vrex.errors.UserError` when a tool is missing and
    :class:`~vrex.errors.HardwareError` when Verilator or the compiler fails.
    """
    tree = Tree(width, window)
    folder = build_root() / f"soak-{width}-{window}{'-O2' * optimise}"
    folder.mkdir(parents=True, exist_ok=True)
    source, log = folder / "tree.v", folder / "build.log"
    source.write_text(convert(tree, "tree"))
    sizes = f"-DWIDTH={width} -DWINDOW={window} -DLATENCY={tree.latency}"
    command = [
        *("verilator", "--cc", "--exe", "--build", "-j", "2", "--top-module", "tree"),
        *("-Wno-fatal", "-Wno-lint", "--x-assign", "fast", "--x-initial", "fast", "-O3"),
        *(
            "-CFLAGS",
            f"{'-O2' if optimise else '-O0'} -I{SOURCES} {sizes}",
            "--Mdir",
            str(folder / "obj"),
            "-o",
            "soak",
        ),
        *(str(source), str(SOURCES / "tree.cpp")),
    ]
    with toolchain(), log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if code.returncode:
        raise HardwareError(f"the soak does not build, log {log}:\n{tail(log)}")
    return folder / "obj" / "soak"


def run(program: Path, beats: int, seed: int = 1, dump: Path | None = None) -> str:
    """Run ``beats`` random beats and return the program's last line.

    ``dump`` gets the beats and what the model wants (:func:`read`). Raises
    :class:`~vrex.errors.HardwareError`, which names the first beat that differs.
    """
    command = [str(program), str(beats), str(seed), str(dump) if dump else "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HardwareError(f"soak, seed {seed}: {done.stdout.strip() or done.stderr.strip()}")
    return done.stdout.strip()


def read(dump: Path, width: int) -> np.ndarray:
    """Return the beats of a dump: a, b (uint16 [width]), live, acc and out (their bits)."""
    fields = [("a", "<u2", (width,)), ("b", "<u2", (width,)), ("live", "<u8"), ("acc", "<u4")]
    return np.fromfile(dump, np.dtype([*fields, ("pad", "<u4"), ("out", "<u4")]))
