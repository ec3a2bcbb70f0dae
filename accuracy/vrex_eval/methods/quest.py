"""Quest: pages with the extremes of their keys, which bound what any of their tokens can score."""

from dataclasses import dataclass

from vrex_eval.method import Step
from vrex_eval.methods.attention import rows
from vrex_eval.methods.blocks import BlockMethod, cut, pick
from vrex_eval.methods.selecting import Choice, SelectingCache


@dataclass(frozen=True, kw_only=True)
class Quest(BlockMethod):
    """Pages of 16 by the bound sum_d max(q_d min_d, q_d max_d); the first layers are dense."""

    size: int = 16
    dense_layers: int = 2
    """The first layers that attend everything, as Quest does."""

    def layer(self, index: int, layers: int) -> "QuestCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return QuestCache(self, dense=index < self.dense_layers)


class QuestCache(SelectingCache):
    """Reads the pages of highest bound of every row."""

    method: Quest

    def choose(self, step: Step, past: int) -> Choice:
        """Bound the pages; their two extremes are a token's worth of K and V."""
        pages = cut(self.method, self.store.keys(past))
        q = rows(step.q, step.k.shape[2])
        bounds = q.clamp(min=0) @ pages.amax(3).mT + q.clamp(max=0) @ pages.amin(3).mT
        return pick(self.method, step, bounds, past, cost=1.0)
