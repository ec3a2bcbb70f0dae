"""Seeded stand-ins for a video model: streams of keys and queries, and rows of weights.

Our design. A stream shows scenes. A scene gives each token of a frame (a patch) a feature that
drifts from frame to frame; a cut goes on to a new scene or returns to an old one. Keys are
projections of the features and queries look for features seen now or long before, so that
clusters form along a patch's time and retrieval has something to find.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resv_ref.trace import Trace
from vrex import Params

Array = NDArray[np.float64]

ROPE_THETA = 5e5
KEY_DEVIATION = 2.2
"""Standard deviation of a key's elements (that of the trace that ships with the project)."""
SHARED = 0.8
"""Share of a feature's variance that all patches of all scenes have in common."""
DRIFT = 0.04
"""Share of a feature's variance that changes within a scene."""
DRIFT_MEMORY = 0.9
"""Share of its drift that a patch keeps from one frame to the next."""
OWN = 0.5
"""Length of the part of a query that looks for nothing, next to the rest."""
MOST_COUNT = 32
"""Largest count of :func:`rows`, the recommended ``cluster_cap``."""


def generate(
    frames: int,
    tokens: int,
    q_heads: int,
    kv_heads: int,
    head_dim: int,
    seed: int,
    params: Params | None = None,
    *,
    text_steps: int = 0,
    cut_chance: float = 0.1,
    return_chance: float = 0.4,
    logit_deviation: float = 3.0,
) -> Trace:
    """Return a stream of ``frames`` frames of ``tokens`` tokens, the same for the same seed.

    ``q_heads`` is a multiple of ``kv_heads``, ``head_dim`` even (RoPE, theta 5e5, halves
    rotated). The last ``text_steps`` frames are of length 1, their padding NaN: text steps where
    ``tokens`` is more than 1. A frame starts a new shot with ``cut_chance``, which is an earlier
    scene with ``return_chance``.
    ``logit_deviation`` is the standard deviation of q . k / sqrt(d) where the two have nothing
    to do with each other. The trace has ``q_retrieve`` where ``params.query`` is previous_layer,
    and no hyperplanes.

    Raises :class:`ValueError` naming a size that cannot be.
    """
    params = params or Params()
    _check_sizes(frames=frames, tokens=tokens, q_heads=q_heads, kv_heads=kv_heads)
    if q_heads % kv_heads or head_dim < 2 or head_dim % 2 or not 0 <= text_steps <= frames:
        raise ValueError(
            f"kv_heads {kv_heads} must divide q_heads {q_heads}, head_dim {head_dim} be even, "
            f"text_steps {text_steps} at most frames {frames}"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    features = _features(frames, tokens, head_dim, cut_chance, return_chance, rng)
    project = rng.standard_normal((kv_heads, head_dim, head_dim)) / math.sqrt(head_dim)
    k_hash = KEY_DEVIATION * np.einsum("ftc,hcd->fthd", features, project)
    v = rng.standard_normal(k_hash.shape)
    q = _queries(features, project, q_heads, rng)
    previous = q + 0.3 * rng.standard_normal(q.shape)
    lengths = np.full(frames, tokens, dtype=np.int32)
    lengths[frames - text_steps :] = 1
    positions = (np.cumsum(lengths) - lengths)[:, None] + np.arange(tokens)
    gain = logit_deviation * math.sqrt(head_dim) / KEY_DEVIATION
    padding = np.arange(tokens)[None] >= lengths[:, None]
    retrieve = params.query == "previous_layer"
    return Trace(
        params=params,
        q=_tensor(_rope(gain * _unit(q), positions), padding),
        k=_tensor(_rope(k_hash, positions), padding),
        v=_tensor(v, padding),
        k_hash=_tensor(k_hash, padding),
        q_retrieve=_tensor(_rope(gain * _unit(previous), positions), padding) if retrieve else None,
        frame_lengths=torch.from_numpy(lengths),
    )


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: it must be 1 or more")


def _features(
    frames: int,
    tokens: int,
    width: int,
    cut_chance: float,
    return_chance: float,
    rng: np.random.Generator,
) -> Array:
    """Return what each patch shows, [frames, tokens, width] of variance 1."""
    shared = rng.standard_normal(width)
    scenes: list[Array] = []
    current = 0
    drift = np.zeros((tokens, width))
    shown = np.empty((frames, tokens, width))
    own = 1 - SHARED - DRIFT
    for frame in range(frames):
        if not scenes or rng.random() < cut_chance:
            if scenes and rng.random() < return_chance:
                current = int(rng.integers(len(scenes)))
            else:
                current = len(scenes)
                scenes.append(rng.standard_normal((tokens, width)))
        fresh = rng.standard_normal((tokens, width))
        drift = DRIFT_MEMORY * drift + math.sqrt(1 - DRIFT_MEMORY**2) * fresh
        still = math.sqrt(SHARED) * shared + math.sqrt(own) * scenes[current]
        shown[frame] = still + math.sqrt(DRIFT) * drift
    return shown


def _queries(features: Array, project: Array, q_heads: int, rng: np.random.Generator) -> Array:
    """Return queries before RoPE, [F, T, Hq, d] of arbitrary length.

    All queries of a frame have one moment in mind, this one or an earlier; each looks for its
    own patch as it was then, less what all patches share, and has a part of its own.
    """
    frames, tokens, width = features.shape
    moments = (rng.random(frames) * (np.arange(frames) + 1)).astype(np.int64)
    sought = features[moments] - features.mean((0, 1))
    of_head = np.repeat(project, q_heads // len(project), axis=0)
    own = rng.standard_normal((frames, tokens, q_heads, width))
    return _unit(np.einsum("ftc,hcd->fthd", sought, of_head)) + OWN * _unit(own)


def _unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _rope(x: Array, positions: NDArray[np.int64]) -> Array:
    """Rotate [F, T, H, d] by the positions [F, T]: element i pairs with i + d/2."""
    half = x.shape[-1] // 2
    angles = positions[:, :, None, None] * ROPE_THETA ** (-np.arange(half) / half)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _tensor(x: Array, padding: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.where(padding[:, :, None, None], np.nan, x)).bfloat16()


def rows(
    n_clusters: int, n_rows: int, seed: int, *, logit_deviation: float = 1.5
) -> tuple[Tensor, Tensor]:
    """Return rows for the WTU as exp makes them of normal scores: weights and counts.

    Both are [n_rows, n_clusters] int64: weights 0 to 65535 with the row's maximum at 65535,
    counts 1 to 32. ``logit_deviation`` is the scores' standard deviation: .7 flat, 3 sharp.

    Raises :class:`ValueError` for a size below 1.
    """
    _check_sizes(n_clusters=n_clusters, n_rows=n_rows)
    rng = np.random.Generator(np.random.PCG64(seed))
    scores = rng.normal(0, logit_deviation, (n_rows, n_clusters))
    weights = np.exp(scores - scores.max(1, keepdims=True)) * 65536
    counts = rng.integers(1, MOST_COUNT + 1, scores.shape)
    return torch.from_numpy(np.rint(weights).clip(max=65535).astype(np.int64)), torch.from_numpy(
        counts
    )
