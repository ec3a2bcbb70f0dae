"""ReKV: whole frames, by the mean of their keys, the same for all heads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrex_eval.method import Step
from vrex_eval.methods.growing import Growing
from vrex_eval.methods.selecting import (
    Choice,
    Selecting,
    SelectingCache,
    amount,
    nothing_to_pick,
    top,
)


@dataclass(frozen=True, kw_only=True)
class ReKV(Selecting):
    """The frames whose mean key before RoPE fits the mean query best.

    The heads are concatenated: a frame has one score for the layer. A unit is what one step
    brought. Frames that reach into the recent window or the sinks are attended anyway. ReKV's own
    window is 15,000 tokens, more than our longest context; it is ``recent`` here, as for all.
    """

    budget: float = 64
    """Frames that a step picks: a count, or below 1 a share of those scored."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets()

    def layer(self, index: int, layers: int) -> "ReKVCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return ReKVCache(self)


class ReKVCache(SelectingCache):
    """Reads the best frames."""

    method: ReKV

    def __init__(self, method: ReKV) -> None:
        """Start empty."""
        super().__init__(method)
        self._means = Growing(1)
        self._frame_of = Growing(0)
        self._starts: list[int] = []

    def note(self, step: Step) -> None:
        """Keep the step's mean key before RoPE, [B, 1, Hkv * d]."""
        tokens, frame = step.k.shape[1], len(self._starts)
        self._starts.append(self.store.tokens - tokens)
        self._means.append(step.k_plain.mean(1, keepdim=True).flatten(2))
        self._frame_of.append(torch.full((tokens,), frame, device=step.k.device))

    def choose(self, step: Step, past: int) -> Choice:
        """Score the frames before the window."""
        scored = self._scored(past)
        if not scored:
            return nothing_to_pick(past, step.k.device)
        query = _mean_query(step.q_plain, step.k.shape[2])
        scores = (self._means.first(scored) @ query[:, :, None])[..., 0]
        best = top(scores, amount(self.method.budget_at(step.stage), scored))
        frame_of = self._frame_of.first(past)
        token = torch.arange(past, device=step.k.device)
        always = (token < self.method.sinks) | (frame_of >= scored)
        selected = best[:, frame_of.clamp(max=scored - 1)] & (frame_of < scored)
        return Choice(selected=selected[:, None], always=always, overhead=0.5 * scored)

    def _scored(self, past: int) -> int:
        """Return how many frames end before the recent window begins."""
        ends = [*self._starts[1:], past]
        return sum(end <= past - self.method.recent for end in ends)


def _mean_query(q: Tensor, kv_heads: int) -> Tensor:
    """Return the mean over tokens, summed in each KV head's group: [B, Hkv * d].

    Its dot product with concatenated keys is that of the concatenated queries with keys repeated
    for each query head.
    """
    return q.mean(1).unflatten(1, (kv_heads, -1)).sum(2).flatten(1)
