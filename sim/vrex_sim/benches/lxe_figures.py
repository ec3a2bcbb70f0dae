"""The `lxe` group of `vrex bench`: how busy the engine is kept, and what it takes to emit it."""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from vrex import MODES, Params
from vrex_hw.config import Config
from vrex_hw.generate import emit, generate
from vrex_hw.lxe.layouts import Layouts as LXELayouts
from vrex_hw.wtu.layouts import Layouts
from vrex_sim.benches.attention_figures import attention_figures
from vrex_sim.benches.lxe_host import exchange
from vrex_sim.benches.lxe_traffic import Traffic
from vrex_sim.compiled import CompiledDevice
from vrex_sim.packer import Packer
from vrex_sim.ports import Bytes

CLOCK = 800e6
"""The paper's clock in Hz, at which rows a second are told."""
TOKENS, FRAME, HEADS, DIMENSION = 4096, 10, 4, 128
"""The job of record: a frame's rows of the query heads that share a KV head."""
RUNS = 3
"""Of the attention job, for the simulator's speed: the median of them."""
COMMANDS = 2
"""Commands of a kind on end: a bubble between them would count."""


def lxe_figures(config: Config, seed: int = 1) -> list[dict[str, Any]]:
    """Return the figures, measured over the emitted Verilog with no stream pausing.

    ``dpe.utilisation_attention`` and ``_scores``: the least cycles that the job needs, the larger
    of its matrix beats and its DPE beats, over the cycles it took. The job is 40 rows of d = 128
    over 4,096 tokens or clusters, twice. ``dpe.mac_occupancy_*``: DPE beats over cycles. Scores
    end in the score memory; ``score_path.rows_per_second`` is their rate with a receiver that
    always takes, ``wtu.rows_per_second`` the WTU's for the same rows, both at 800 MHz.
    ``compiled.cycles_per_second``: of the attention job, by the clock on the wall, the median of
    :data:`RUNS`.

    Raises :class:`vrex.HardwareError` when what comes out is not what the reference says.
    """
    text = emit(config, "lxe")
    figures = _generation(config)
    attention, *others = (_run(config, text, _attention(config, seed)) for _ in range(RUNS))
    rate = median([attention["rate"], *(other["rate"] for other in others)])
    scored = _scores(config, seed)
    scores = _run(config, text, scored)
    for name, measured in (("attention", attention), ("scores", scores)):
        figures.append((f"dpe.utilisation_{name}", measured["utilisation"], "cycles per cycle"))
        figures.append((f"dpe.mac_occupancy_{name}", measured["occupancy"], "MACs per MAC"))
        figures.append((f"dpe.cycles_{name}", measured["cycles"], "cycles"))
    figures.append(("compiled.cycles_per_second", rate, "cycles/s"))
    rows = len(scored.weights)
    wtu = _wtu_cycles(config, scores["weights"], rows)
    figures.append(("score_path.rows_per_second", rows * CLOCK / scores["cycles"], "rows/s"))
    figures.append(("wtu.rows_per_second", rows * CLOCK / wtu, "rows/s"))
    named = [
        {"name": name, "value": float(value), "unit": unit, "config": config.name}
        for name, value, unit in figures
    ]
    return named + attention_figures(config)


def _generation(config: Config) -> list[tuple[str, float, str]]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        paths = generate(config, top="lxe", out_dir=Path(folder) / "lxe")
        seconds = time.perf_counter() - began
        size = next(p for p in paths if p.suffix == ".v").stat().st_size
    return [("generate.lxe_seconds", seconds, "s"), ("generate.lxe_bytes", size, "bytes")]


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def _attention(config: Config, seed: int) -> Traffic:
    sent = Traffic(config)
    limits = (TOKENS - FRAME + 1 + torch.arange(FRAME)).repeat(HEADS)
    for command in range(COMMANDS):
        k, v = (_random(seed + 10 * command + i, TOKENS, DIMENSION) for i in range(2))
        sent.attend(_random(seed + 10 * command + 2, FRAME * HEADS, DIMENSION), k, v, limits)
    return sent


def _scores(config: Config, seed: int) -> Traffic:
    sent = Traffic(config)
    counts = torch.randint(1, 32, (TOKENS,), generator=torch.Generator().manual_seed(seed))
    for command in range(COMMANDS):
        means = _random(seed + 10 * command, TOKENS, DIMENSION)
        queries = _random(seed + 10 * command + 1, FRAME * HEADS, DIMENSION)
        sent.score(queries, means, counts, Params())
    return sent


def _run(config: Config, text: str, sent: Traffic) -> dict[str, Any]:
    """Run ``sent``, compare all that comes out, and return what the commands' reports say."""
    device = CompiledDevice(text, "lxe")
    given = sent.arguments()
    began = time.perf_counter()
    got = device.run(exchange(device, given))
    seconds = time.perf_counter() - began
    sent.check(got)
    packer = Packer(LXELayouts(config).report)
    reports = [packer.unpack(int.from_bytes(beat.tobytes(), "little")) for beat in got["report"]]
    cycles, beats = (sum(report[name] for report in reports) for name in ("cycles", "beats"))
    return {
        "cycles": cycles,
        "utilisation": max(beats, len(given["matrix"])) / cycles,
        "occupancy": beats / cycles,
        "rate": device.cycle / seconds,
        "weights": got["weights"],
    }


def _wtu_cycles(config: Config, beats: Bytes, rows: int) -> int:
    """Return the cycles in which the WTU resolves the ``rows`` whose beats the LXE gave."""
    device = CompiledDevice(emit(config, "wtu"), "wtu")
    params = MODES["recommended"]
    device.set("ratio", params.ratio_fixed)
    device.set("k_min", params.k_min)
    device.set("k_max", params.k_max_fixed)
    last = Layouts(config.wtu).selected.size - 1

    async def resolve() -> int:
        device.send("row", beats)
        for _ in range(rows):
            while not (await device.packet("selected"))[0, last // 8] >> last % 8 & 1:
                pass
        return device.cycle

    return device.run(resolve())
