"""The engines ``rtl`` and ``compiled``: a trace through the emitted Verilog of the core.

``rtl`` simulates it under cocotb, ``compiled`` in a C++ loop; the host is the same, and so are the
cycles. All six steps and the mean keys are the hardware's; the host only keeps tables, keys and
values, and brings them. Whatever comes out is compared with the exact reference, at the beat and
window of the configuration, in every element.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from resv_ref import run as reference
from resv_ref.run import Progress
from resv_ref.summary import summarise
from resv_ref.trace import Trace
from vrex import Params
from vrex_hw.config import Config
from vrex_hw.generate import emit
from vrex_sim import jobs, ports, runner, sizing, waves
from vrex_sim.compare import MismatchError
from vrex_sim.compiled import ORIGIN, CompiledDevice
from vrex_sim.core_host import CoreHost
from vrex_sim.core_jobs import CoreJobs
from vrex_sim.core_summary import figures

TOP, BENCH = "core", "vrex_sim.benches.core_run"
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
    idle: float = 0.0,
    stall: float = 0.0,
    engine: str = "rtl",
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Run a trace through the core; return what :func:`resv_ref.run.run` returns.

    All tensors but ``counts`` and ``hyperplanes`` are what the hardware said. The summary has,
    beside the reference's figures, those of :func:`~vrex_sim.core_summary.figures` and
    ``mismatches``, 0.

    ``params`` replaces the trace's own; without ``config`` the hardware is sized for the trace.
    ``expected``, the tensors of an exact run under these parameters, and at the beat and window
    of ``config``, saves running it again.
    ``verilog`` stands in for what ``config`` generates. ``idle`` and ``stall`` are the chances,
    a cycle, that an input pauses and an output is held up. ``engine`` is ``rtl`` or ``compiled``.

    Raises :class:`~vrex.UserError` for a trace that does not fit the hardware,
    :class:`~vrex_sim.compare.MismatchError` with the first mismatch and a waveform if the hardware
    disagrees with the reference, and :class:`~vrex_sim.runner.BenchError` if it breaks a protocol
    or hangs.
    """
    params = trace.params if params is None else params
    params.require_exact(engine)
    frames = trace.frames
    if config is None:
        arithmetic = sizing.arithmetic(sizing.size_for(trace, params, 0))
    else:
        sizing.check_fits(trace, params, config)
        arithmetic = sizing.arithmetic(config)
    of_hardware = progress
    if expected is None:
        of_reference, of_hardware = (_part(progress, start, frames) for start in (0, frames))
        expected, _ = reference.run(trace, params, "exact", of_reference, **arithmetic)
    config = config or size(trace, params, expected)
    sizing.check_clusters(config, int(expected["cluster"].max()) + 1, _sealed(expected))
    work = CoreJobs(config=config, params=params, trace=trace)
    verilog = verilog or emit(config, TOP)
    arguments = {
        **work.arguments(),
        "ports": [dataclasses.astuple(port) for port in ports.read(verilog, TOP)],
        "idle": idle,
        "stall": stall,
        "seed": 1,
    }
    given = SIMULATORS[engine](verilog, arguments, of_hardware)
    got = work.decode(given, expected)
    fault = jobs.compare(got, expected)
    if fault is not None:
        window = waves.Window.around(fault.cycle, given["origin"])
        path = runner.waveform(verilog, TOP, BENCH, arguments, window)
        raise MismatchError(f"{fault.text}\n  waveform: {path}")
    tensors = {**expected, **{name: torch.from_numpy(one) for name, one in got.tensors.items()}}
    tensors["attn_out"] = tensors["attn_out"].view(torch.bfloat16)
    summary = {**summarise(trace, tensors), **figures(config, given), "mismatches": 0}
    return tensors, {**summary, "metadata": reference.metadata(params, ENGINES, **arithmetic)}


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


def size(trace: Trace, params: Params, expected: dict[str, Tensor]) -> Config:
    """Return the smallest hardware for a trace whose exact run gave the tensors ``expected``."""
    return sizing.size_for(trace, params, _sealed(expected))


def _sealed(expected: dict[str, Tensor]) -> int:
    return int(expected["sealed"].max())


def _part(progress: Progress | None, start: int, frames: int) -> Progress | None:
    """Scale the progress of one half, reference or hardware, to frames of the whole run."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(start + done * frames // total, 2 * frames)
