"""What streams select, frame by frame and head by head: the input of residency's figures."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import resv_ref.run
from resv_ref import generator, trace
from vrex import MODES
from vrex_sim.benches import examples

SEEDS = (1, 2, 3)
FRAMES, FRAME_TOKENS, Q_HEADS, KV_HEADS, HEAD_DIM = 300, 10, 4, 1, 64
"""A generated stream: 3,000 tokens."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What a frame selects of a head's sealed clusters."""

    selected: list[int]
    """Numbers, ascending."""
    counts: NDArray[np.int64]
    """Tokens of all sealed clusters."""


Head = list[Frame]
"""The frames of a KV head in which something was sealed already."""


@functools.cache
def streams(mode: str) -> dict[str, list[Head]]:
    """Return the heads of every set by its name: generated streams, and the example traces.

    All in a named mode, as the exact reference selects.
    """
    params = MODES[mode]
    found = {
        f"generated_{seed}": heads(
            generator.generate(FRAMES, FRAME_TOKENS, Q_HEADS, KV_HEADS, HEAD_DIM, seed, params),
            mode,
        )
        for seed in SEEDS
    }
    for path in examples.every():
        found[path.stem] = heads(trace.read(path), mode)
    return found


def heads(source: trace.Trace, mode: str) -> list[Head]:
    """Return what each KV head of a trace selects in a named mode."""
    params = source.params.with_mode(mode)
    tensors, _ = resv_ref.run.run(source, params, engine="exact")
    selected, sealed = tensors["selected"].numpy(), tensors["sealed"].numpy()
    counts = tensors["counts"].numpy().astype(np.int64)
    return [
        [
            Frame(np.flatnonzero(selected[f, head]).tolist(), counts[f, head, : sealed[f, head]])
            for f in range(source.frames)
            if sealed[f, head]
        ]
        for head in range(source.kv_heads)
    ]
