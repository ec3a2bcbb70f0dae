"""A whole trace through the streaming reference: every intermediate tensor, and its summary."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from resv_ref import layers
from resv_ref import trace as traces
from resv_ref.numerics import BEAT, WINDOW
from resv_ref.retrieval import ReSV, Selection
from resv_ref.summary import summarise
from resv_ref.trace import Trace
from vrex import Params

STEPS = ("hash", "cluster", "score", "threshold", "aggregate", "attend")
"""The steps of docs/algorithm.md whose engine a run's metadata names."""

Progress = Callable[[int, int], object]
"""Called with how many frames are done, and of how many."""


def run(
    trace: Trace,
    params: Params | None = None,
    engine: str = "exact",
    progress: Progress | None = None,
    *,
    beat: int = BEAT,
    window: int = WINDOW,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Run a trace; return its output tensors and a summary.

    ``params`` replaces the trace's own; ``beat`` and ``window`` are those of
    :class:`~resv_ref.ReSV`. With F frames of at most T tokens and C the most clusters scored at
    once, the tensors are ``hash_bits`` [F, T, Hkv] int64, ``cluster`` [F, T, Hkv] int32,
    ``weights`` [F, Hq, T, C] int32 (exact) or float32 (float), ``counts`` [F, Hkv, C] int32,
    ``row_selected`` [F, Hq, T, C] bool, ``selected`` [F, Hkv, C] bool,
    ``sealed`` [F, Hkv] int32, ``attn_out`` [F, T, Hq, d] bfloat16 and ``hyperplanes``, those
    used. Padding is zero, -1 in ``cluster``. A trace with an axis of layers gives all but
    ``hyperplanes`` an axis L in front.

    The summary holds what :func:`~resv_ref.summary.summarise` counts and, under ``metadata``,
    what belongs into the output file (:func:`metadata`).

    Raises :class:`~vrex.UserError` for an unknown engine, for what it does not do, and for what
    the trace lacks under ``params``.
    """
    params = trace.params if params is None else params
    if params != trace.params:
        trace = trace.with_params(params)
        traces.check(trace)
    planes = traces.hyperplanes(trace)
    runs: list[dict[str, Tensor]] = []
    total = (trace.layers or 1) * trace.frames
    with one_thread():
        for layer in layers.each(trace):
            resv = ReSV(params, planes, engine, beat=beat, window=window)
            frames = []
            for f in range(layer.frames):
                frames.append(resv.step(**frame(layer, f)))
                if progress is not None:
                    progress(len(runs) * layer.frames + f + 1, total)
            runs.append(collect(layer, frames))
    tensors = {**layers.beside(runs), "hyperplanes": planes}
    summary = summarise(layers.merge(trace), tensors)
    tensors = layers.split(tensors, trace.layers)
    engines = dict.fromkeys(STEPS, engine)
    return tensors, {**summary, "metadata": metadata(params, engines, beat=beat, window=window)}


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread while this lasts.

    A frame's tensors are small, and on a busy machine torch's threads wait for each other
    (measured: 7 times slower).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def frame(trace: Trace, number: int) -> dict[str, Any]:
    """Return one frame's live tokens and its stage, as the arguments of :meth:`ReSV.step`."""
    tokens = int(trace.frame_lengths[number])
    tensors = trace.tensors()
    of_frames = ("q", "k", "v", "k_hash", "q_retrieve")
    given = {name: tensors[name][number, :tokens] for name in of_frames if name in tensors}
    return {**given, "text": bool(trace.text_steps[number])}


def collect(trace: Trace, frames: list[Selection]) -> dict[str, Tensor]:
    """Lay the frames' selections out as the output tensors, padding included."""
    f, t, q_heads, kv_heads = trace.frames, trace.tokens, trace.q_heads, trace.kv_heads
    c = max(s.counts.shape[1] for s in frames)
    out = {
        "hash_bits": torch.zeros(f, t, kv_heads, dtype=torch.int64),
        "cluster": torch.full((f, t, kv_heads), -1, dtype=torch.int32),
        "weights": torch.zeros(f, q_heads, t, c, dtype=frames[0].weights.dtype),
        "counts": torch.zeros(f, kv_heads, c, dtype=torch.int32),
        "row_selected": torch.zeros(f, q_heads, t, c, dtype=torch.bool),
        "selected": torch.zeros(f, kv_heads, c, dtype=torch.bool),
        "sealed": torch.stack([s.sealed for s in frames]),
        "attn_out": torch.zeros(f, t, q_heads, trace.head_dim, dtype=torch.bfloat16),
    }
    for number, one in enumerate(frames):
        live, scored = one.weights.shape[1:]
        out["hash_bits"][number, :live] = one.hash_bits
        out["cluster"][number, :live] = one.cluster
        out["weights"][number, :, :live, :scored] = one.weights
        out["counts"][number, :, :scored] = one.counts
        out["row_selected"][number, :, :live, :scored] = one.row_selected
        out["selected"][number, :, :scored] = one.selected
        if one.attention is not None:
            out["attn_out"][number, :live] = one.attention
    return out


def metadata(
    params: Params, engines: Mapping[str, str], *, beat: int = BEAT, window: int = WINDOW
) -> dict[str, str]:
    """Return the output file's metadata: parameters, engines and sizes of the arithmetic.

    ``engines`` names an engine for each of :data:`STEPS`; ``beat`` and ``window`` are those of
    :func:`run`. Every entry is a JSON object.
    """
    return {
        traces.METADATA_KEY: params.to_json(),
        "engines": json.dumps(dict(engines)),
        "numerics": json.dumps({"beat": beat, "window": window}),
    }
