"""Blocks of equal length, one after the other: what chunks and Quest's pages have in common."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrex_eval.method import Step
from vrex_eval.methods.selecting import (
    Choice,
    Selecting,
    amount,
    nothing_to_pick,
    require,
    top,
)


@dataclass(frozen=True, kw_only=True)
class BlockMethod(Selecting):
    """Picks the best blocks of each row and reads the union of a KV head's rows.

    The first block starts behind the sinks; blocks that reach into the recent window are not
    scored but attended whole.
    """

    budget: float = 4
    """Blocks that a row picks: a count, or below 1 a share of those scored."""
    size: int = 8
    """Tokens of a block."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets()
        require(self.name, "size", self.size, whole=True, low=1)


def cut(method: BlockMethod, keys: Tensor) -> Tensor:
    """Return the keys of the scored blocks: [B, Hkv, N, d] to [B, Hkv, blocks, size, d], a view."""
    start, size = method.sinks, method.size
    blocks = max(0, (keys.shape[2] - method.recent - start) // size)
    return keys[:, :, start : start + blocks * size].unflatten(2, (blocks, size))


def pick(method: BlockMethod, step: Step, scores: Tensor, past: int, cost: float) -> Choice:
    """Choose by scores [B, Hkv, R, blocks]; ``cost`` is a block's overhead in tokens' worth."""
    blocks, size, start = scores.shape[-1], method.size, method.sinks
    if not blocks:
        return nothing_to_pick(past, scores.device)
    best = top(scores, amount(method.budget_at(step.stage), blocks)).any(2)
    selected = torch.zeros(*best.shape[:2], past, dtype=torch.bool, device=best.device)
    end = start + blocks * size
    selected[:, :, start:end] = best.repeat_interleave(size, -1)
    token = torch.arange(past, device=best.device)
    always = (token < start) | (token >= end)
    return Choice(selected=selected, always=always, overhead=blocks * cost)
