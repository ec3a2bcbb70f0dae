"""How long prediction takes on a GPU beside the layer that it predicts for: Llama-3-8B's shapes.

``python -m vrex_eval.gpu_time -o FILE.json`` on a machine with a GPU. The paper says that on an
A100 prediction is 48 % of a frame's time (at 40K tokens); this measures it for PyTorch.
"""

import argparse
import contextlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from vrex_eval.method import Stage, Step
from vrex_eval.methods import make
from vrex_eval.units import write_json

WIDTH, INNER, Q_HEADS, KV_HEADS, D, FRAME = 4096, 14336, 32, 8, 128, 10
"""Llama-3-8B's layer, and the tokens of a frame."""
CONTEXTS = (1_000, 5_000, 10_000, 20_000, 40_000)
BATCHES = (1, 4)
TOKENS_PER_CLUSTER = 4
"""As measured in the recommended mode."""
RETRIEVED = 0.327
"""Share of the past that the layer attends, the paper's at the frame stage."""
REPEATS = 30
COMPILED = ((5_000, 1),)
"""Contexts and batches at which ReSV is compiled too, which takes a minute."""


def noise(device: str, *shape: int) -> Tensor:
    """Return normal noise in bfloat16."""
    return torch.randn(*shape, device=device, dtype=torch.bfloat16)


def step(batch: int, device: str, keys: Tensor | None = None) -> Step:
    """Return a frame's queries, keys and values at one layer; without ``keys`` they are noise."""
    q = noise(device, batch, FRAME, Q_HEADS, D)
    k = noise(device, batch, FRAME, KV_HEADS, D) if keys is None else keys
    return Step(q=q, k=k, v=k, q_plain=q, k_plain=k, q_previous=q, stage=Stage.FRAME)


def predicts(name: str, context: int, batch: int, device: str) -> Callable[[], Any]:
    """Return what a method does for a frame besides attending: it chooses, and notes new keys.

    Its cache holds ``context`` tokens; each key stands as often as a cluster has tokens.
    """
    cache: Any = make(name).layer(1, 32)
    frames = context // FRAME
    kinds = noise(device, batch, -(-frames * FRAME // TOKENS_PER_CLUSTER), KV_HEADS, D)
    keys = kinds.repeat_interleave(TOKENS_PER_CLUSTER, 1)
    for frame in range(frames):
        given = step(batch, device, keys[:, frame * FRAME : (frame + 1) * FRAME])
        cache.store.append(given.k.transpose(1, 2), given.v.transpose(1, 2))
        cache.note(given)
    new, past = step(batch, device), cache.store.tokens

    def predict() -> None:
        cache.choose(new, past)
        if name == "recommended":
            cache.note(new)

    return predict


METHODS = {"resv": "recommended", "infinigenp": "infinigenp", "rekv": "rekv"}
"""Figures' names, and methods'."""


def layer(context: int, batch: int, device: str) -> Callable[[], Any]:
    """Return a decoder layer's work for a frame that attends RETRIEVED of the past."""
    kept = math.ceil(RETRIEVED * context) + FRAME

    def weight(rows: int, columns: int) -> Tensor:
        return noise(device, rows, columns) / math.sqrt(columns)

    qkv, out = weight((Q_HEADS + 2 * KV_HEADS) * D, WIDTH), weight(WIDTH, Q_HEADS * D)
    gate_up, down = weight(2 * INNER, WIDTH), weight(WIDTH, INNER)
    cache, x = noise(device, batch, KV_HEADS, kept, D), noise(device, batch, FRAME, WIDTH)

    def run() -> Tensor:
        heads = (rms_norm(x, (WIDTH,)) @ qkv.T).unflatten(2, (-1, D)).transpose(1, 2)
        q = heads[:, :Q_HEADS]
        attended = scaled_dot_product_attention(q, cache, cache, enable_gqa=True)
        h = x + attended.transpose(1, 2).flatten(2) @ out.T
        gate, up = (rms_norm(h, (WIDTH,)) @ gate_up.T).chunk(2, -1)
        return h + (silu(gate) * up) @ down.T

    return run


def milliseconds(work: Callable[[], Any]) -> float:
    """Return the median over :data:`REPEATS`, by CUDA events: what the host is late is in it."""
    times = []
    for repeat in range(REPEATS + 5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if repeat >= 5:
            times.append(begin.elapsed_time(end))
    return median(times)


def measure(device: str = "cuda") -> Iterator[dict[str, Any]]:
    """Yield, for each context and batch, milliseconds of a layer and of each method's prediction.

    ``share_*`` is prediction over prediction and layer. Runs on a CUDA ``device`` alone.
    """
    for context in CONTEXTS:
        for batch in BATCHES:
            cell: dict[str, Any] = {"context": context, "batch": batch}
            cell["layer_ms"] = milliseconds(layer(context, batch, device))
            for name, method in METHODS.items():
                cell[f"{name}_ms"] = milliseconds(predicts(method, context, batch, device))
            if (context, batch) in COMPILED:
                torch.compiler.reset()
                work = torch.compile(predicts("recommended", context, batch, device))
                cell["resv_compiled_ms"] = milliseconds(work)
            for name in [key[:-3] for key in cell if key.endswith("_ms") and key != "layer_ms"]:
                took = cell[f"{name}_ms"]
                cell[f"share_{name}"] = took / (took + cell["layer_ms"])
            yield cell


def main() -> None:
    """Measure, write a JSON file anew after each cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    path = parser.parse_args().output
    if not torch.cuda.is_available():
        parser.exit(2, "gpu_time: no GPU that torch can use: run it on a machine with one\n")
    result: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    result["cells"] = []
    with contextlib.suppress(KeyboardInterrupt), torch.no_grad():
        for cell in measure():
            result["cells"].append(cell)
            write_json(path, result)
            print(json.dumps(cell))


if __name__ == "__main__":
    main()
