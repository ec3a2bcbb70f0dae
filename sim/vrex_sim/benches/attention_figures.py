"""Light attention's accuracy: the exact reference beside torch's own attention in BF16."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from resv_ref import generator, trace
from resv_ref.attention import light_attention
from resv_ref.run import one_thread
from vrex_hw.config import Config
from vrex_sim import sizing
from vrex_sim.benches import examples

TOKENS, ROWS, HEAD_DIM = 4096, 40, 128
FRAME, GROUP = 10, 4
"""Tokens of a frame, and query heads that share the KV head: together the rows."""
SEEDS = range(1, 9)
"""The generated streams that are measured, one a seed."""
FRAME_STEP = 16
"""One frame in so many of the trace is measured, from this one on."""


class Rows(NamedTuple):
    """Rows that attend a prefix of the same tokens."""

    q: Tensor
    """[R, d] bfloat16."""
    k: Tensor
    """[N, d] bfloat16."""
    v: Tensor
    """[N, d] bfloat16."""
    limits: Tensor
    """[R] int64: tokens that each row attends."""


def attention_figures(
    config: Config, trace_files: Sequence[Path] | None = None
) -> list[dict[str, Any]]:
    """Return ``attention.max_error`` and ``attention.mean_error``, and torch's own.

    Every error is that of an output element against float64 softmax attention over the same
    tokens. ``_torch`` is torch's BF16 ``scaled_dot_product_attention`` on the same inputs. The
    set of rows is at the end: ``.generated``, 4,096 tokens and 40 rows at d=128 of each of
    :data:`SEEDS` of :func:`resv_ref.generator.generate`; and the name of each of ``trace_files``
    (the examples), frames of its own q, k and v over the whole past, causally. Figures without a
    set are those of the generated rows. The exact reference adds up as ``config`` does.
    """
    sets = {"generated": [generated(seed) for seed in SEEDS]}
    for path in examples.every() if trace_files is None else trace_files:
        sets[path.stem] = list(of_trace(trace.read(path)))
    sizes = sizing.arithmetic(config)
    with one_thread():
        measured = {name: _measure(rows, sizes) for name, rows in sets.items()}
    by_suffix = {"": measured["generated"], **{f".{name}": m for name, m in measured.items()}}
    return [
        {
            "name": f"attention.{name}{suffix}",
            "value": value,
            "unit": "absolute",
            "config": config.name,
        }
        for suffix, values in by_suffix.items()
        for name, value in values.items()
    ]


def generated(seed: int, tokens: int = TOKENS) -> Rows:
    """Return a generated stream's last frame, its rows over the first ``tokens`` tokens."""
    frames = -(-tokens // FRAME)
    stream = generator.generate(frames, FRAME, GROUP, 1, HEAD_DIM, seed)
    k, v = (x[:, :, 0].flatten(0, 1)[:tokens] for x in (stream.k, stream.v))
    q = stream.q[-1].transpose(0, 1).flatten(0, 1)
    return Rows(q, k, v, torch.full((ROWS,), tokens))


def of_trace(source: trace.Trace) -> Iterator[Rows]:
    """Yield rows of a trace: of one frame in some, head by head, over all earlier tokens."""
    live = trace.live(source)
    stored = live.sum(1).cumsum(0)
    for frame in range(FRAME_STEP, source.frames, FRAME_STEP):
        length, end = int(source.frame_lengths[frame]), int(stored[frame])
        for head in range(source.kv_heads):
            k, v = (x[live][:end, head] for x in (source.k, source.v))
            heads = source.q[frame, :length].unflatten(1, (source.kv_heads, -1))[:, head]
            limits = torch.arange(end - length + 1, end + 1).repeat(heads.shape[1])
            yield Rows(heads.transpose(0, 1).flatten(0, 1), k, v, limits)


def _measure(sets: list[Rows], sizes: dict[str, Any]) -> dict[str, float]:
    ours, theirs = [], []
    for rows in sets:
        q, k, v, limits = rows
        live = torch.arange(len(k)) < limits[:, None]
        scores = q.double() @ k.double().T / math.sqrt(q.shape[1])
        true = torch.softmax(scores.masked_fill(~live, -math.inf), -1) @ v.double()
        exact = light_attention(q, k, v, limits, **sizes)
        plain = scaled_dot_product_attention(q[None, None], k[None, None], v[None, None], live)
        ours.append((exact.double() - true).abs().flatten())
        theirs.append((plain[0, 0].double() - true).abs().flatten())
    our_errors, their_errors = torch.cat(ours), torch.cat(theirs)
    return {
        "max_error": float(our_errors.max()),
        "mean_error": float(our_errors.mean()),
        "max_error_torch": float(their_errors.max()),
        "mean_error_torch": float(their_errors.mean()),
    }
