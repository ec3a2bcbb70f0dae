"""StreamingLLM: attention sinks and the latest tokens; without sinks it is recent-only."""

from dataclasses import dataclass

import torch

from vrex_eval.method import Step
from vrex_eval.methods.selecting import Choice, Selecting, SelectingCache


@dataclass(frozen=True, kw_only=True)
class Streaming(Selecting):
    """The first ``sinks`` tokens and the latest ones. Positions stay those of the stream.

    StreamingLLM itself numbers what it keeps anew; our model's positions are the stream's in all
    methods, so that they differ in nothing but what they read.
    """

    budget: float = 256
    """Latest tokens that are attended: a count, or below 1 a share of the past."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets()

    def layer(self, index: int, layers: int) -> "StreamingCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return StreamingCache(self)


@dataclass(frozen=True, kw_only=True)
class Recent(Streaming):
    """The latest tokens alone."""

    sinks: int = 0


class StreamingCache(SelectingCache):
    """Reads sinks and window; nothing has to be selected."""

    method: Streaming

    def choose(self, step: Step, past: int) -> Choice:
        """Return the window as what is always attended."""
        budget = self.method.budget_at(step.stage)
        recent = round(budget * past) if budget < 1 else int(budget)
        token = torch.arange(past, device=step.k.device)
        always = (token < self.method.sinks) | (token >= past - recent)
        return Choice(selected=torch.zeros_like(always), always=always, overhead=0.0)
