"""The WTU's figures: passes and cycles a row, beside the paper's scheme on the same rows."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from amaranth.back import verilog
from numpy.typing import NDArray

import resv_ref.run
from resv_ref import generator, trace, wicsum
from vrex import MODES, Params
from vrex.params import RATIO_ONE
from vrex_hw.config import Config, WTUConfig
from vrex_hw.wtu import WTU
from vrex_sim import runner
from vrex_sim.benches import examples
from vrex_sim.benches.wtu_rows import Row
from vrex_sim.benches.wtu_wanted import arguments

FRAME_STEP = 16
"""One frame in so many of a trace is measured: some 900 rows a mode of an example."""
GENERATED = (1024, 4096)
DEVIATIONS = (0.7, 1.5, 3.0)
"""Standard deviations of the generated rows' scores: flat, usual, sharp."""
ROWS_A_DEVIATION = 8


def wtu_figures(
    config: Config, trace_file: Path = examples.FIRST, *, seed: int = 1
) -> list[dict[str, Any]]:
    """Return the ``wtu.*`` figures, measured from the counters over the emitted Verilog.

    A pass is ceil(n / lanes) reading cycles; every reading after the row has streamed in counts,
    the emission and each candidate step included. Every set of rows gives its own figures: the
    rows of ``trace_file`` in every mode that the unit knows, those of text steps by their own floor
    and cap; generated ones of 1,024 and 4,096 clusters (where the memory holds them), once where
    modes select alike; and ``hardest``, rows built to take the most passes. The set's name is at
    the end (``wtu.passes_typical.hardest``). Those without one are over all sets: ``_typical`` the
    mean of their means, ``_worst`` the largest, ``hardest`` counted for ``_worst`` alone.
    ``_paper`` is the paper's scheme on the same rows; ``cycles_over_floor`` divides the cycles of
    a set's rows, one after another, by the sum of their ceil(n / lanes).

    Raises :class:`vrex_sim.runner.BenchError` when a selection is wrong.
    """
    text = verilog.convert(WTU(config.wtu), name="wtu")
    measured = {
        name: _measure(text, config.wtu, rows, seed)
        for name, rows in row_sets(config.wtu, trace_file, seed)
    }
    ordinary = [m for name, m in measured.items() if name != "hardest"]
    overall = {
        name: max(m[name] for m in measured.values())
        if "worst" in name
        else float(np.mean([m[name] for m in ordinary]))
        for name in ordinary[0]
    }
    by_suffix = {"": overall, **{f".{rows.replace(' ', '_')}": m for rows, m in measured.items()}}
    return [
        {
            "name": f"wtu.{name}{suffix}",
            "value": float(value),
            "unit": unit(name),
            "config": config.name,
        }
        for suffix, values in by_suffix.items()
        for name, value in values.items()
    ]


def unit(name: str) -> str:
    """Return the unit of figure ``name``."""
    return "cycles per cycle" if name == "cycles_over_floor" else "passes"


def row_sets(config: WTUConfig, trace_file: Path, seed: int) -> Iterator[tuple[str, list[Row]]]:
    """Yield every set of rows by its name."""
    source = trace.read(trace_file)
    known: list[dict[str, int]] = []
    for mode, params in MODES.items():
        if params.estimate:
            continue  # The rows of another mode: what stands for the rest is not the WTU's.
        yield f"{trace_file.stem} {mode}", list(_trace_rows(source, params, config))
        if _settings(params) in known:
            continue  # Generated rows differ by nothing else.
        known.append(_settings(params))
        for clusters in GENERATED:
            if clusters <= config.entries:
                yield f"{clusters} clusters {mode}", list(_generated(clusters, params, seed))
    yield "hardest", hardest(config)


def _settings(params: Params) -> dict[str, int]:
    return {"ratio": params.ratio_fixed, "k_min": params.k_min, "k_max": params.k_max_fixed}


def _trace_rows(source: trace.Trace, params: Params, config: WTUConfig) -> Iterator[Row]:
    tensors, _ = resv_ref.run.run(source, params, engine="exact")
    weights, counts = tensors["weights"].numpy(), tensors["counts"].numpy()
    group = source.q_heads // source.kv_heads
    for frame in range(0, source.frames, FRAME_STEP):
        settings = _settings(params.at(text=bool(source.text_steps[frame])))
        for head in range(source.q_heads):
            n = int(tensors["sealed"][frame, head // group])
            if 0 < n <= config.entries:
                of_clusters = counts[frame, head // group, :n]
                for row in weights[frame, head, : int(source.frame_lengths[frame]), :n]:
                    yield Row.make(row, of_clusters, **settings)


def _generated(clusters: int, params: Params, seed: int) -> Iterator[Row]:
    for deviation in DEVIATIONS:
        weights, counts = generator.rows(
            clusters, ROWS_A_DEVIATION, seed, logit_deviation=deviation
        )
        for row, of_clusters in zip(weights.numpy(), counts.numpy(), strict=True):
            yield Row.make(row, of_clusters, **_settings(params))


def hardest(config: WTUConfig) -> list[Row]:
    """Return rows that need every bit of the key: ties in the top octave, cut within a word.

    No row takes more: each round reads the row at most once and settles ``digit_bits`` bits of a
    key whose leading one the fill has found, and one more reading emits.
    """
    rows = []
    n = config.lanes
    while n <= config.entries:
        for cut in {1, 2, n // 2 + 1, n - 2, n - 1} & set(range(1, n)):
            tied = (1 << config.weight_bits) - 1
            rows.append(Row.make([tied] * n, 1, RATIO_ONE, k_max=cut))
        n *= 2
    return rows


def _measure(text: str, config: WTUConfig, rows: list[Row], seed: int) -> dict[str, float]:
    """Run ``rows`` without a pause on either side and return the set's figures."""
    values = {"config": asdict(config), "seed": seed, "idle": 0.0, "stall": 0.0}
    result = runner.run(
        text, "wtu", "vrex_sim.benches.wtu", {**values, **arguments(rows, config)}, seed=seed
    )
    floor = np.array([-(-len(row.weights) // config.lanes) for row in rows])
    passes, paper = result["reads"] / floor, _paper_passes(rows)
    cycles = result["trailers"][-1] + 1 - result["first"]
    return {
        "passes_typical": passes.mean(),
        "passes_worst": passes.max(),
        "passes_typical_paper": paper.mean(),
        "passes_worst_paper": paper.max(),
        "cycles_over_floor": cycles / floor.sum(),
    }


def _paper_passes(rows: list[Row]) -> NDArray[np.int64]:
    passes = [
        wicsum.paper_buckets(
            torch.from_numpy(row.weights)[None], torch.from_numpy(row.counts), row.params
        ).passes
        for row in rows
    ]
    return torch.cat(passes).numpy()
