"""What all methods share: a full cache, what is always attended, and a choice of the rest."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from vrex import UserError
from vrex_eval.method import Attended, LayerCache, Stage, Step
from vrex_eval.methods.attention import Stand, attend, by_head
from vrex_eval.methods.growing import KVStore

STAGES = {"both": frozenset(Stage), "frame": {Stage.FRAME}, "text": {Stage.TEXT}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What of the past a step reads."""

    selected: Tensor
    """bool, broadcastable to [B, Hkv, past]: what the method picked."""
    always: Tensor
    """bool, broadcastable to [B, Hkv, past]: what is attended without being picked."""
    overhead: Tensor | float
    """Broadcastable to [B, Hkv]: what was read to pick, in tokens' worth of K and V."""
    stand: Stand | None = None
    """What stands for the tokens that are not read."""


@dataclass(frozen=True, kw_only=True)
class Selecting(ABC):
    """A method that keeps everything and reads a part of it.

    Raises :class:`~vrex.UserError` for a setting out of bounds.
    """

    name: str
    """What results call it."""
    sinks: int = 4
    """First tokens of the stream that are always attended."""
    recent: int = 32
    """Latest tokens that are always attended; as many as in the mode that we recommend."""
    stage: str = "both"
    """Where it picks: frame, text or both. The other stage attends everything."""
    text_budget: float | None = None
    """The budget at the text stage; None: as at frames."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.stage not in STAGES:
            raise UserError(
                f"method {self.name}: stage is {self.stage!r}: it must be {', '.join(STAGES)}"
            )
        for name in ("sinks", "recent"):
            require(self.name, name, getattr(self, name), whole=True, low=0)
        if self.text_budget is not None and not hasattr(self, "budget"):
            raise UserError(f"method {self.name}: has no budget, so no text_budget either")

    def budget_at(self, stage: Stage) -> float:
        """Return the budget of a stage, for methods that have one."""
        text = stage is Stage.TEXT and self.text_budget is not None
        return float(getattr(self, "text_budget" if text else "budget"))

    def require_budgets(self, high: float = 1 << 31) -> None:
        """Raise :class:`~vrex.UserError` unless both budgets are from 0 to ``high``."""
        require(self.name, "budget", self.budget_at(Stage.FRAME), low=0, high=high)
        if self.text_budget is not None:
            require(self.name, "text_budget", self.text_budget, low=0, high=high)

    @abstractmethod
    def layer(self, index: int, layers: int) -> LayerCache:
        """Return an empty cache for layer ``index`` of ``layers``."""


def require(
    method: str, name: str, value: object, *, low: float, high: float = 1 << 31, whole: bool = False
) -> None:
    """Raise :class:`~vrex.UserError` unless a setting is a number from ``low`` to ``high``."""
    kinds = (int,) if whole else (int, float)
    if type(value) not in kinds or not low <= value <= high:  # type: ignore[operator]
        kind = "a whole number" if whole else "a number"
        ends = " to ".join(f"{end:.0f}" if end == int(end) else f"{end:g}" for end in (low, high))
        raise UserError(f"method {method}: {name} is {value!r}: it must be {kind} from {ends}")


class SelectingCache(ABC):
    """The cache of a :class:`Selecting` method at one layer."""

    token_cost = 1.0
    """As in :class:`~vrex_eval.method.Attended`."""

    def __init__(self, method: Selecting, *, dense: bool = False) -> None:
        """Start empty; ``dense``: this layer attends everything."""
        self.method = method
        self.dense = dense
        self.store = KVStore()

    @abstractmethod
    def choose(self, step: Step, past: int) -> Choice | None:
        """Choose what to read of the ``past`` (1 or more) tokens; None: all."""

    def note(self, step: Step) -> None:  # noqa: B027
        """Take the step's keys into whatever the method selects by; they are in the store."""

    def attend(self, step: Step) -> Attended:
        """Choose, keep the new tokens, attend."""
        past = self.store.tokens
        picks = past and not self.dense and step.stage in STAGES[self.method.stage]
        choice = self.choose(step, past) if picks else None
        k, v = self.stored(by_head(step.k), by_head(step.v))
        self.store.append(k, v)
        self.note(step)
        return self._attended(step, past, choice)

    def stored(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, Hkv, T, d] as the cache holds them."""
        return k, v

    def _attended(self, step: Step, past: int, choice: Choice | None) -> Attended:
        heads = (step.k.shape[0], step.k.shape[2])
        if choice is None:
            keep = stand = None
            read = torch.full(heads, past, device=step.k.device)
            fetched = (read - self.method.sinks - self.method.recent).clamp(min=0)
            overhead = torch.zeros(heads, device=step.k.device)
        else:
            stand = choice.stand
            keep = (choice.selected | choice.always).expand(*heads, past)
            read = keep.sum(-1)
            fetched = (choice.selected & ~choice.always).expand(*heads, past).sum(-1)
            overhead = torch.as_tensor(choice.overhead, device=step.k.device).expand(heads)
        return Attended(
            out=attend(step.q, self.store.keys(), self.store.values(), keep, stand),
            past=past,
            read=read,
            fetched=fetched,
            overhead=overhead.float(),
            token_cost=self.token_cost,
            keep=keep,
        )

    def fork(self) -> Self:
        """Return a copy that shares nothing."""
        return copy.deepcopy(self)


def nothing_to_pick(past: int, device: torch.device) -> Choice:
    """Return the choice where every token of the past is always attended."""
    none = torch.zeros(past, dtype=torch.bool, device=device)
    return Choice(selected=none, always=~none, overhead=0.0)


def windows(method: Selecting, past: int, device: torch.device) -> Tensor:
    """Return which of the past's tokens are sinks or recent, [past] bool."""
    token = torch.arange(past, device=device)
    return (token < method.sinks) | (token >= past - method.recent)


def amount(budget: float, units: int) -> int:
    """Return how many of ``units`` a budget means: a count from 1 on, a share below 1."""
    return min(units, int(budget) if budget >= 1 else max(1, round(budget * units)))


def top(scores: Tensor, count: int) -> Tensor:
    """Return where the ``count`` largest of the last dimension are, bool like ``scores``."""
    best = scores.topk(min(count, scores.shape[-1]), -1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, best, True)
