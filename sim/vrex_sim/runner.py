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

Equal Verilog is built once (:mod:`vrex_sim.verilate`). A comparison inside a bench that goes
through :mod:`vrex_sim.compare` leaves a short waveform.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cocotb_tools import runner as cocotb_runner

from vrex import HardwareError
from vrex_sim import exchange, waves
from vrex_sim.verilate import build, build_root, tail

Progress = Callable[[int, int], object]
"""Called with how much is done, and of how much."""


class BenchError(HardwareError):
    """A bench failed; the text carries its message and the path of its log."""


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
        return f"the simulator ended without a verdict:\n{tail(log)}"
    if not cases:
        return f"the bench has no test:\n{tail(log)}"
    for case in cases:
        for child in case:
            if child.tag in ("failure", "error"):
                return f"{case.get('name')}: {child.get('message') or child.text or child.tag}"
    return None
