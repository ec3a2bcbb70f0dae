"""Oaken-style quantisation: everything is kept and read, in 4 bits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vrex import UserError
from vrex_eval.method import Step
from vrex_eval.methods.selecting import Choice, Selecting, SelectingCache, require

BF16_BITS = 16
LEVELS = 15
INDEX_BITS = 6
OUTLIERS = 1 / 16
"""Share of a vector's elements that are stored apart."""


@dataclass(frozen=True, kw_only=True)
class Oaken(Selecting):
    """Each key and value in 4 bits an element, outliers apart.

    After Oaken's split into inliers and outliers, with the groups made for each vector as it
    comes, where Oaken has thresholds from an offline run: the largest magnitudes have a range of
    their own and cost an index each. The chunk itself is attended as the cache holds it.
    """

    sinks: int = 0
    recent: int = 0
    budget: float = OUTLIERS
    """Share of a vector's elements that are outliers, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        require(self.name, "budget", self.budget, low=0, high=1)
        if self.text_budget is not None:
            raise UserError(f"method {self.name}: keys are stored once, so no text_budget")

    def layer(self, index: int, layers: int) -> "OakenCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return OakenCache(self)


class OakenCache(SelectingCache):
    """Reads all, in fewer bits."""

    method: Oaken

    def choose(self, step: Step, past: int) -> Choice | None:
        """Return None: all."""
        return None

    def stored(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values as they come back from 4 bits."""
        outliers = round(self.method.budget * k.shape[-1])
        self.token_cost = cost(k.shape[-1], outliers)
        return quantise(k, outliers), quantise(v, outliers)


def cost(d: int, outliers: int) -> float:
    """Return the bytes of a vector of ``d`` elements in 4 bits, as a share of those in BF16."""
    ranges = 2 * BF16_BITS * (2 if outliers else 1)
    return (4 * d + INDEX_BITS * outliers + ranges) / (BF16_BITS * d)


def quantise(x: Tensor, outliers: int) -> Tensor:
    """Return ``x`` [..., d] through 4 bits, the ``outliers`` largest magnitudes apart."""
    apart = torch.zeros_like(x, dtype=torch.bool)
    if outliers:
        apart.scatter_(-1, x.abs().topk(outliers, -1).indices, True)
    return torch.where(apart, _levels(x, apart), _levels(x, ~apart))


def _levels(x: Tensor, group: Tensor) -> Tensor:
    """Round to 16 levels between the extremes of ``group`` (bool like ``x``), a range a vector."""
    low = x.masked_fill(~group, torch.inf).amin(-1, keepdim=True)
    high = x.masked_fill(~group, -torch.inf).amax(-1, keepdim=True)
    unit = ((high - low) / LEVELS).clamp(min=torch.finfo(x.dtype).tiny)
    return ((x - low) / unit).round() * unit + low
