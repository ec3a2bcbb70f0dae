"""Traces of several layers: every KV head of every layer is a stream of its own.

So L layers of Hkv heads are for the hardware, and for a summary, one layer of L * Hkv heads:
:func:`merge` lays the layers' heads side by side, KV head h of layer l as head l * Hkv + h and its
query heads likewise, and :func:`split` takes the outputs apart again. The reference takes the
layers one by one (:func:`each`), so that a table of a whole layer stays one. Our decision.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from resv_ref.trace import Trace

HEADS = {
    **dict.fromkeys(("q", "k", "v", "k_hash", "q_retrieve"), 2),
    **dict.fromkeys(("hash_bits", "cluster", "attn_out"), 2),
    **dict.fromkeys(("weights", "counts", "row_selected", "selected", "sealed"), 1),
}
"""The axis of the heads in tensors of one layer; tensors with other names belong to all layers."""
OF_CLUSTERS = ("weights", "counts", "row_selected", "selected")
"""Outputs whose last axis is C, the most clusters scored at once."""

Array = TypeVar("Array", Tensor, NDArray[Any])


def merge(trace: Trace) -> Trace:
    """Return ``trace`` as one layer with the heads of all; itself where it has no layer axis."""
    if trace.layers is None:
        return trace
    own: dict[str, Any] = join(trace.tensors())
    return dataclasses.replace(trace, **own)


def join(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return tensors [L, ...] with their layers' heads side by side: undoes :func:`split`."""
    return {name: _join(t, HEADS[name]) if name in HEADS else t for name, t in tensors.items()}


def split(tensors: Mapping[str, Array], layers: int | None) -> dict[str, Array]:
    """Return tensors of a merged trace with the axis L in front; without ``layers`` as they are.

    Tensors may lack axes behind that of the heads.
    """
    if layers is None:
        return dict(tensors)
    return {
        name: _split(t, HEADS[name], layers) if name in HEADS else t for name, t in tensors.items()
    }


def each(trace: Trace) -> Iterator[Trace]:
    """Yield the layers as traces of their own; ``trace`` itself where it has no layer axis."""
    if trace.layers is None:
        yield trace
        return
    stacked = {name: tensor for name, tensor in trace.tensors().items() if name in HEADS}
    for layer in range(trace.layers):
        own: dict[str, Any] = {name: tensor[layer] for name, tensor in stacked.items()}
        yield dataclasses.replace(trace, **own)


def beside(runs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the outputs of layers that ran one by one as those of a merged one.

    Each is padded with zeros to the largest C.
    """
    most = max(run["counts"].shape[-1] for run in runs)
    out = dict(runs[0])
    for name in out.keys() & HEADS.keys():
        parts = [run[name] for run in runs]
        if name in OF_CLUSTERS:
            parts = [pad(part, (0, most - part.shape[-1])) for part in parts]
        out[name] = torch.cat(parts, HEADS[name])
    return out


def _join(tensor: Array, axis: int) -> Array:
    for at in range(axis):
        tensor = tensor.swapaxes(at, at + 1)
    shape = tensor.shape
    return tensor.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def _split(tensor: Array, axis: int, layers: int) -> Array:
    shape = tensor.shape
    tensor = tensor.reshape(*shape[:axis], layers, shape[axis] // layers, *shape[axis + 1 :])
    for at in range(axis, 0, -1):
        tensor = tensor.swapaxes(at, at - 1)
    return tensor
