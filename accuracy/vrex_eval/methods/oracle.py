"""Oracles: the best tokens by exact attention. What no selection can do better."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vrex_eval.method import Step
from vrex_eval.methods.attention import by_head, probabilities
from vrex_eval.methods.selecting import (
    Choice,
    Selecting,
    SelectingCache,
    amount,
    top,
    windows,
)


@dataclass(frozen=True, kw_only=True)
class OracleTopK(Selecting):
    """Each row's tokens of highest exact score; a KV head reads the union of its rows.

    An oracle knows without reading: no overhead is counted.
    """

    budget: float = 4
    """Tokens that a row picks: a count, or below 1 a share of those not always attended."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets()

    def layer(self, index: int, layers: int) -> "OracleCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return OracleCache(self)

    def pick(self, weights: Tensor, others: Tensor, budget: float) -> Tensor:
        """Return what each row picks of ``others`` [past] by ``weights`` [B, Hkv, R, past]."""
        scored = int(others.sum())
        return top(weights.masked_fill(~others, -math.inf), amount(budget, scored)) & others


@dataclass(frozen=True, kw_only=True)
class OracleTopP(Selecting):
    """Each row's smallest set that, with what is always attended, carries a share of attention."""

    budget: float = 0.9
    """The share of each row's exact attention, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets(high=1)

    def layer(self, index: int, layers: int) -> "OracleCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return OracleCache(self)

    def pick(self, weights: Tensor, others: Tensor, budget: float) -> Tensor:
        """Return what each row picks of ``others`` [past] by ``weights`` [B, Hkv, R, past]."""
        # What is not in ``weights`` of the others has been attended anyway.
        free = 1 - (weights * others).sum(-1, keepdim=True)
        ranked = (weights * others).sort(-1, descending=True)
        before = ranked.values.cumsum(-1) - ranked.values
        enough = free + before < budget
        return torch.zeros_like(enough).scatter_(-1, ranked.indices, enough) & others


class OracleCache(SelectingCache):
    """Computes exact attention, then reads what the method's rule picks of it."""

    method: OracleTopK | OracleTopP

    def choose(self, step: Step, past: int) -> Choice:
        """Pick from exact attention's weights."""
        keys = torch.cat([self.store.keys(past), by_head(step.k)], 2)
        weights = probabilities(step.q, keys)[..., :past]
        budget = self.method.budget_at(step.stage)
        always = windows(self.method, past, step.k.device)
        selected = self.method.pick(weights, ~always, budget).any(2)
        return Choice(selected=selected, always=always, overhead=0.0)
