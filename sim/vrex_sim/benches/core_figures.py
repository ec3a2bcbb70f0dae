"""The `core` group of `vrex bench`: how well the core hides prediction, and what moves."""

import copy
from typing import Any

from torch import Tensor

from resv_ref import ReSV, generator
from resv_ref import run as reference
from resv_ref.trace import Trace
from vrex import MODES, Params
from vrex_hw.config import Config
from vrex_sim import engine_rtl, sizing
from vrex_sim.benches.link_figures import gain
from vrex_sim.benches.residency_figures import SUFFIXES, request_sizes, residency_figures
from vrex_sim.core_jobs import Setup

CACHE, FRAME, GROUP, KV_HEADS, DIMENSION = 4096, 10, 4, 4, 128
"""The job of record: tokens in the cache, of a frame, query heads of a KV head, KV heads, d."""
MEASURED = 3
"""Frames that are measured; the one before them fills the slots that stay."""
FAST = {"link_latency": 200, "link_interval": 16, "memory_latency": 40}
"""A link that brings a line a cycle: what the core itself can do."""


def core_figures(config: Config, seed: int = 1) -> list[dict[str, Any]]:
    """Return the figures, measured over the emitted Verilog of a system, compiled.

    A stream of 4,096 tokens lies in memory and on the host; then come frames of four KV heads,
    d = 128, in the recommended mode. ``core.prediction_hidden``: of the cycles in which HCU, WTU
    or KVMU work for a later job (from the first attention on), the share in which the DPE takes a
    beat or a row of a tile; ``_whole``: of all of the run, the first job's prediction included;
    ``core.dpe_utilisation``: the least cycles of the DPE's commands over all cycles; ``_fenced``:
    the same where the first job of a layer waits for all before it, as ``same_layer`` needs it.
    Hits and bytes a request are those of the same run.

    ``link.gain``: what the requests of streams gain by their size over token by token, on a real
    SSD's curve (:mod:`~vrex_sim.benches.link_figures`), ``_tight`` in that mode; ``residency.*``:
    bytes fetched over bytes selected
    (:func:`~vrex_sim.benches.residency_figures.residency_figures`).

    Raises :class:`vrex.HardwareError` when what comes out is not what the reference says.
    """
    params = MODES["recommended"]
    tail, before, expected = stream(config, params, seed)
    found = []
    for name, fences in (("", False), ("_fenced", True)):
        _, told = engine_rtl.run(
            tail,
            params,
            config,
            expected=expected,
            before=before,
            setup=Setup(fences=fences, knobs=FAST),
            engine="compiled",
        )
        found += [
            (f"core.prediction_hidden{name}", told["prediction_hidden"], "cycles per cycle"),
            (
                f"core.prediction_hidden_whole{name}",
                told["prediction_hidden_whole"],
                "cycles per cycle",
            ),
            (f"core.dpe_utilisation{name}", told["dpe_utilisation"], "cycles per cycle"),
            (f"core.cycles{name}", told["cycles"], "cycles"),
        ]
    found += [
        ("core.hit_rate", told["residency"]["hit_rate"], "clusters per cluster"),
        ("core.request_bytes", told["link"]["mean_request_bytes"], "bytes"),
    ]
    for mode, suffix in SUFFIXES.items():
        for name, resident in (("link.gain", False), ("link.gain_resident", True)):
            sizes = list(request_sizes(config, mode, resident=resident))
            found.append((f"{name}{suffix}", gain(sizes), "times 512-byte requests"))
    named = [
        {"name": name, "value": float(value), "unit": unit, "config": config.name}
        for name, value, unit in found
    ]
    return named + residency_figures(config)


def stream(config: Config, params: Params, seed: int) -> tuple[Trace, ReSV, dict[str, Tensor]]:
    """Return the frames to measure, what is stored before them, and what they must give."""
    frames = -(-CACHE // FRAME)
    whole = generator.generate(
        frames + MEASURED, FRAME, GROUP * KV_HEADS, KV_HEADS, DIMENSION, seed, params
    )
    sizes: dict[str, Any] = sizing.arithmetic(config)
    before, tail = ReSV(params, **sizes), whole.frames_from(frames)
    with reference.one_thread():
        for f in range(frames):
            one = reference.frame(whole, f)
            before.store(one["k"], one["v"], one.get("k_hash"), q_heads=whole.q_heads)
        follows = copy.deepcopy(before)
        selections = [follows.step(**reference.frame(tail, f)) for f in range(MEASURED)]
    return tail, before, reference.collect(tail, selections)
