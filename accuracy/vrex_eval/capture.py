"""Capture a stream that a model watches as a trace file (``docs/trace.md``)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from resv_ref import trace as traces
from resv_ref.trace import Trace
from vrex import Params, UserError
from vrex_eval.method import Attended, LayerCache, Stage, Step
from vrex_eval.methods import make

NAMES = {"q": "q", "k": "k", "v": "v", "k_hash": "k_plain", "q_retrieve": "q_previous"}
"""A trace's tensors and where a step has them."""


@dataclass(frozen=True)
class Capture:
    """A method: full attention that keeps the first stream's steps of some layers."""

    layers: Sequence[int]
    """Numbers of the layers to keep, from 0."""
    steps: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict)
    """For each layer its steps' tensors by a trace's names, on the CPU: bfloat16, and ``text``."""
    name: str = "capture"

    def layer(self, index: int, layers: int) -> LayerCache:
        """Return an empty cache; raise :class:`~vrex.UserError` for layers that are not there."""
        for wanted in self.layers:
            if not 0 <= wanted < layers:
                raise UserError(f"layer {wanted}: the model has layers 0 to {layers - 1}")
        inner = make("full").layer(index, layers)
        if index not in self.layers:
            return inner
        return Captured(inner, self.steps.setdefault(index, []))


class Captured:
    """A cache whose steps are kept; those of a fork are as well."""

    def __init__(self, inner: LayerCache, steps: list[dict[str, Tensor]]) -> None:
        """Keep what ``inner`` is given in ``steps``."""
        self._inner, self._steps = inner, steps

    def attend(self, step: Step) -> Attended:
        """Keep the first stream's tensors; attend. Layer 0 has no earlier queries: its own."""
        kept = {}
        for name, source in NAMES.items():
            tensor = getattr(step, source)
            tensor = step.q if tensor is None else tensor
            kept[name] = tensor[0].detach().cpu().bfloat16()
        kept["text"] = torch.tensor(step.stage is Stage.TEXT)
        self._steps.append(kept)
        return self._inner.attend(step)

    def fork(self) -> "Captured":
        """Return a cache that goes on in the same record."""
        return Captured(self._inner.fork(), self._steps)


def to_trace(capture: Capture, params: Params | None = None, *, lean: bool = False) -> Trace:
    """Return what was captured: a step is a frame, shorter ones are padded with zeros.

    One layer gives a trace without an axis of layers, several one with it, in the order in which
    they were asked for. ``lean`` leaves out ``q_retrieve``, which ``query=previous_layer`` alone
    needs. Raises :class:`~vrex.UserError` where nothing was captured or a value is not finite.
    """
    of_layers = [capture.steps.get(layer, []) for layer in capture.layers]
    if not of_layers or not of_layers[0]:
        raise UserError("nothing was captured: let the model watch at least one frame")
    lengths = [len(step["q"]) for step in of_layers[0]]
    tensors: dict[str, Any] = {
        name: torch.stack([_frames([step[name] for step in steps]) for steps in of_layers])
        for name in NAMES
        if not (lean and name == "q_retrieve")
    }
    if len(of_layers) == 1:
        tensors = {name: tensor[0] for name, tensor in tensors.items()}
    trace = Trace(
        params=params or Params(),
        frame_lengths=torch.tensor(lengths, dtype=torch.int32),
        text=torch.stack([step["text"] for step in of_layers[0]]),
        **tensors,
    )
    traces.check(trace, "captured trace")
    return trace


def _frames(steps: list[Tensor]) -> Tensor:
    """Return [F, T, H, d] of steps [t, H, d], t at most T."""
    return torch.nn.utils.rnn.pad_sequence(steps, batch_first=True)
