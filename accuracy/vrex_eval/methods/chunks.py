"""Contiguous chunks with their mean key: simple, and hard to beat near the present."""

from dataclasses import dataclass

from vrex_eval.method import Step
from vrex_eval.methods.attention import rows
from vrex_eval.methods.blocks import BlockMethod, cut, pick
from vrex_eval.methods.selecting import Choice, SelectingCache


@dataclass(frozen=True, kw_only=True)
class Chunks(BlockMethod):
    """Chunks of ``size`` tokens, scored by the dot product with their mean key after RoPE."""

    def layer(self, index: int, layers: int) -> "ChunksCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return ChunksCache(self)


class ChunksCache(SelectingCache):
    """Reads the best chunks of every row."""

    method: Chunks

    def choose(self, step: Step, past: int) -> Choice:
        """Score the mean keys; one is half a token's worth of K and V."""
        means = cut(self.method, self.store.keys(past)).mean(3)
        scores = rows(step.q, step.k.shape[2]) @ means.mT
        return pick(self.method, step, scores, past, cost=0.5)
