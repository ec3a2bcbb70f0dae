"""The engines ``rtl`` and ``compiled``: a trace whose clusters and selections come from Verilog.

``rtl`` simulates it under cocotb, ``compiled`` in a C++ loop; the host is the same, and so are the
cycles. Hash bits, weights and attention come from the exact reference, at the beat and window of
the configuration (steps that have no RTL yet); the KVPU
clusters the tokens, thresholds the rows and unites them. Whatever it says is compared with the
exact reference in every element.
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
from vrex_sim.host import Host
from vrex_sim.jobs import Jobs

TOP, BENCH = "kvpu", "vrex_sim.benches.kvpu_run"
ENGINES = {
    "hash": "exact",
    "cluster": "rtl",
    "score": "exact",
    "threshold": "rtl",
    "aggregate": "rtl",
    "attend": "exact",
}
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
    """Run a trace through the KVPU; return what :func:`resv_ref.run.run` returns.

    ``cluster``, ``sealed``, ``row_selected`` and ``selected`` are what the hardware said. The
    summary has, beside the reference's figures, those of :func:`figures` and ``mismatches``, 0.

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
    if expected is None:
        tell = _part(progress, 0, frames)
        expected, _ = reference.run(trace, params, "exact", tell, **arithmetic)
    config = config or size(trace, params, expected)
    sizing.check_clusters(config, int(expected["cluster"].max()) + 1, _sealed(expected))
    work = Jobs.of(trace, params, config, expected)
    verilog = verilog or emit(config, TOP)
    arguments = {
        **work.arguments(),
        "ports": [dataclasses.astuple(port) for port in ports.read(verilog, TOP)],
        "idle": idle,
        "stall": stall,
        "seed": 1,
    }
    given = SIMULATORS[engine](verilog, arguments, _part(progress, frames, frames))
    got = jobs.decode(work, given)
    fault = jobs.compare(got, expected)
    if fault is not None:
        window = waves.Window.around(fault.cycle, given["origin"])
        path = runner.waveform(verilog, TOP, BENCH, arguments, window)
        raise MismatchError(f"{fault.text}\n  waveform: {path}")
    tensors = {**expected, **{name: torch.from_numpy(one) for name, one in got.tensors.items()}}
    summary = {**summarise(trace, tensors), **figures(work, given), "mismatches": 0}
    return tensors, {**summary, "metadata": reference.metadata(params, ENGINES, **arithmetic)}


def _cocotb(verilog: str, arguments: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Run the host under cocotb, in a process of the simulator's."""
    return runner.run(verilog, TOP, BENCH, arguments, progress=progress)


def _compiled(verilog: str, arguments: dict[str, Any], progress: Progress | None) -> dict[str, Any]:
    """Run the host here, on the compiled device."""
    chances = {name: arguments[name] for name in ("seed", "idle", "stall")}
    device = CompiledDevice(verilog, TOP, **chances)
    result = device.run(Host(device, arguments, progress or (lambda *_: None)).run())
    return {**result, "origin": ORIGIN}


SIMULATORS = {"rtl": _cocotb, "compiled": _compiled}
"""What runs the host on the emitted Verilog, by engine."""


def size(trace: Trace, params: Params, expected: dict[str, Tensor]) -> Config:
    """Return the smallest hardware for a trace whose exact run gave the tensors ``expected``."""
    return sizing.size_for(trace, params, _sealed(expected))


def _sealed(expected: dict[str, Tensor]) -> int:
    return int(expected["sealed"].max())


def figures(work: Jobs, given: dict[str, Any]) -> dict[str, object]:
    """Return what the counters tell of a run.

    - ``config``: the sizes; ``cycles``: from the first job to the last beat
    - ``cycles_by_unit``: cycles in which each unit was busy
    - ``utilisation``: of the HCU compares over the peak of its lanes, of the WTU beats of rows
      over its busy cycles
    - ``passes_per_row``: reads of row memory and candidates over ceil(n / lanes), rows weighted
      by their length; ``buckets_per_row``: histogram bins visited
    - ``counters``: the registers themselves
    """
    counters, hcu = given["counters"], work.config.hcu
    beats = work.beats
    peak = counters["hcu_busy"] * hcu.accumulators
    return {
        "config": work.config.to_dict(),
        "cycles": given["cycles"],
        "cycles_by_unit": {unit: counters[f"{unit}_busy"] for unit in ("hcu", "wtu")},
        "utilisation": {
            "hcu": counters["hcu_compares"] * hcu.phases / max(1, peak),
            "wtu": beats / max(1, counters["wtu_busy"]),
        },
        "passes_per_row": counters["wtu_reads"] / max(1, beats),
        "buckets_per_row": counters["wtu_buckets"] / max(1, counters["wtu_rows"]),
        "counters": counters,
    }


def _part(progress: Progress | None, start: int, frames: int) -> Progress | None:
    """Scale the progress of one half, reference or hardware, to frames of the whole run."""
    if progress is None:
        return None
    tell = progress
    return lambda done, total: tell(start + done * frames // total, 2 * frames)
