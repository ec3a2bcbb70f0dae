"""The engines ``rtl`` and ``compiled``: a trace through the emitted Verilog of the core.

``rtl`` simulates it under cocotb, ``compiled`` in a C++ loop; the host is the same, and so are the
cycles. The core does all of it; the host puts the trace into device memory, starts the ring of jobs
and reads what came out. Whatever comes out is compared with the exact reference, at the beat and
window of the configuration, in every element.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resv_ref import ReSV, layers
from resv_ref import run as reference
from resv_ref.run import Progress
from resv_ref.summary import summarise
from resv_ref.trace import Trace
from vrex import Params, UserError
from vrex_hw.config import Config
from vrex_hw.models.system import TOP, capacity, emit
from vrex_sim import jobs, ports, runner, sizing, timeline, waves
from vrex_sim.activity import Activity
from vrex_sim.compare import MismatchError
from vrex_sim.compiled import ORIGIN, CompiledDevice
from vrex_sim.core_host import CoreHost
from vrex_sim.core_jobs import CoreJobs, Setup
from vrex_sim.core_summary import figures
from vrex_sim.least import least_cycles
from vrex_sim.placement import Placement

BENCH = "vrex_sim.benches.core_run"
ENGINES = dict.fromkeys(reference.STEPS, "rtl")
"""Which engine does which step; ``rtl`` stands for the emitted Verilog, whatever simulates it."""


def run(
    trace: Trace,
    params: Params | None = None,
    config: Config | None = None,
    progress: Progress | None = None,
    *,
    expected: dict[str, Tensor] | None = None,
    verilog: str | None = None,
    setup: Setup | None = None,
    before: ReSV | None = None,
    idle: float = 0.0,
    stall: float = 0.0,
    engine: str = "rtl",
    picture: Path | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Run a trace through a system with the core; return what :func:`resv_ref.run.run` returns.

    All tensors but ``counts`` and ``hyperplanes`` are what the hardware said. Several layers are
    the heads of one to it; jobs go frame by frame, layer by layer, head by head. The summary has,
    beside the reference's figures, those of :func:`~vrex_sim.core_summary.figures`, what the
    hardware was told (``setup``) and ``mismatches``, 0.

    ``params`` replaces the trace's own; without ``config`` the hardware is sized for the trace.
    ``expected``, the tensors of an exact run under these parameters, and at the beat and window
    of ``config``, saves running it again.
    ``verilog`` stands in for the system that ``config`` generates, ``setup`` says what its hardware
    is told, ``before`` what its heads hold when the trace begins (``expected`` is then needed).
    ``idle`` and ``stall`` are the chances, a cycle, that an input pauses and an output is
    held up. ``engine`` is ``rtl`` or ``compiled``.
    ``picture`` is where a picture of the run goes (:mod:`vrex_sim.timeline`).

    Raises :class:`~vrex.UserError` for a trace that does not fit the hardware,
    :class:`~vrex_sim.compare.MismatchError` with the first mismatch and a waveform if the hardware
    disagrees with the reference, and :class:`~vrex_sim.runner.BenchError` if it breaks a protocol
    or hangs.
    """
    params = trace.params if params is None else params
    params.require_hardware(engine)
    setup = setup or Setup()
    if picture is not None:
        timeline.check(picture)
    told: dict[str, Any] = {"params": params, "trace": layers.merge(trace), "layers": trace.layers}
    told |= {"setup": setup, "before": before}
    if config is not None:
        sizing.check_fits(trace, params, config, setup.room)
    least = config or sizing.size_for(trace, params, 0, setup.room)
    least.require_core()
    _placed(CoreJobs(config=least, **told).placement, verilog)
    arithmetic = sizing.arithmetic(least)
    frames = trace.frames
    if expected is None:
        tell = _part(progress, 0, frames)
        expected, _ = reference.run(trace, params, "exact", tell, **arithmetic)
    if trace.layers is not None:
        expected = layers.join(expected)
    config = config or size(trace, params, expected, setup.room)
    sizing.check_clusters(config, *_clusters(expected))
    work = CoreJobs(config=config, **told)
    _placed(work.placement, verilog)
    verilog = verilog or emit(config, *lines(work.placement))
    arguments = {
        **work.arguments(),
        "ports": [dataclasses.astuple(port) for port in ports.read(verilog, TOP)],
        "idle": idle,
        "stall": stall,
        "seed": 1,
    }
    given = SIMULATORS[engine](verilog, arguments, _part(progress, frames, frames))
    tensors = _compared(work, given, expected, verilog, arguments)
    activity = Activity.of(given)
    if picture is not None:
        timeline.draw(activity, work.placement, given["status_cycle"], picture)
    floor = least_cycles(config, work.trace, params, expected, work.stored)
    summary = {
        **summarise(work.trace.with_params(params), expected),
        **figures(work.placement, given, activity, floor),
        "setup": work.told,
        "mismatches": 0,
    }
    return tensors, {**summary, "metadata": reference.metadata(params, ENGINES, **arithmetic)}


def _placed(placement: Placement, verilog: str | None) -> None:
    """Raise :class:`~vrex.UserError` unless the core, and the system if it is given, has room."""
    placement.check()
    if verilog is None:
        return
    needs = placement.starts["end"], placement.host_lines
    for where, has, need in zip(("memory", "host"), capacity(verilog), needs, strict=True):
        if need > has:
            raise UserError(f"the system has {has} lines of {where}: the run takes {need}")


def _compared(
    work: CoreJobs,
    given: dict[str, Any],
    expected: dict[str, Tensor],
    verilog: str,
    arguments: dict[str, Any],
) -> dict[str, Tensor]:
    """Return the tensors of a run, the layers apart, if they are the ``expected`` ones (merged)."""
    found = work.decode(given, expected)
    got = dataclasses.replace(
        found,
        tensors=layers.split(found.tensors, work.layers),
        cycles=layers.split(found.cycles, work.layers),
    )
    expected = layers.split(expected, work.layers)
    fault = jobs.compare(got, expected)
    if fault is not None:
        window = waves.Window.around(fault.cycle, given["origin"])
        path = runner.waveform(verilog, TOP, BENCH, arguments, window)
        raise MismatchError(f"{fault.text}\n  waveform: {path}")
    tensors = {**expected, **{name: torch.from_numpy(one) for name, one in got.tensors.items()}}
    return {**tensors, "attn_out": tensors["attn_out"].view(torch.bfloat16)}


def _cocotb(verilog: str, arguments: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Run the host under cocotb, in a process of the simulator's."""
    return runner.run(verilog, TOP, BENCH, arguments, progress=progress)


def _compiled(verilog: str, arguments: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Run the host here, on the compiled device."""
    chances = {name: arguments[name] for name in ("seed", "idle", "stall")}
    device = CompiledDevice(verilog, TOP, **chances)
    result = device.run(CoreHost(device, arguments, progress or (lambda *_: None)).run())
    return {**result, "origin": ORIGIN}


SIMULATORS = {"rtl": _cocotb, "compiled": _compiled}
"""What runs the host on the emitted Verilog, by engine."""


def size(
    trace: Trace, params: Params, expected: dict[str, Tensor], room: int | None = None
) -> Config:
    """Return the smallest hardware for a trace whose exact run gave the tensors ``expected``.

    ``room``: resident slots of a head that it must have.
    """
    return sizing.size_for(trace, params, _sealed(expected), room)


def lines(placement: Placement) -> tuple[int, int]:
    """Return lines of device memory and of the host for a run: rounded up, so that builds last."""
    return _power(placement.starts["end"]), _power(placement.host_lines)


def _power(lines: int) -> int:
    return 1 << max(12, (lines - 1).bit_length())


def _clusters(expected: dict[str, Tensor]) -> tuple[int, int, int]:
    """Return the most clusters that a head opens, has sealed when scored, and has open at once."""
    numbers = expected["cluster"].amax(1).cummax(0).values + 1
    opened = numbers - expected["sealed"]
    return int(numbers.max()), _sealed(expected), int(opened.max())


def _sealed(expected: dict[str, Tensor]) -> int:
    return int(expected["sealed"].max())


def _part(progress: Progress | None, start: int, frames: int) -> Progress | None:
    """Return how one half, reference or hardware, tells its progress, in frames of the run."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(start + done * frames // total, 2 * frames)
