"""What a method of attending to a long cache is: one interface for all of them."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from torch import Tensor


class Stage(Enum):
    """What new tokens are: part of a frame, or of a question and its answer."""

    FRAME = "frame"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """New tokens of ``B`` streams at one layer, as they come to attention."""

    q: Tensor
    """[B, T, Hq, d]: queries after RoPE."""
    k: Tensor
    """[B, T, Hkv, d]: keys after RoPE."""
    v: Tensor
    """[B, T, Hkv, d]: values."""
    q_plain: Tensor
    """[B, T, Hq, d]: queries before RoPE."""
    k_plain: Tensor
    """[B, T, Hkv, d]: keys before RoPE."""
    stage: Stage
    """What the tokens are."""
    q_previous: Tensor | None = None
    """[B, T, Hq, d]: this layer's queries after RoPE, of the previous layer's input to attention;
    None at layer 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Attended:
    """What attention gives for a step."""

    out: Tensor
    """[B, T, Hq, d]: in the queries' dtype."""
    past: int
    """Tokens in the cache before the step."""
    read: Tensor
    """[B, Hkv]: tokens of the past that were read, always-attended ones included."""
    fetched: Tensor
    """[B, Hkv]: of these, the ones that had to be selected."""
    overhead: Tensor
    """[B, Hkv]: what was read to select them (representatives, partial keys), in tokens' worth of
    K and V."""
    token_cost: float = 1.0
    """Bytes of a token that was read, as a share of those of its K and V in BF16."""
    keep: Tensor | None = None
    """[B, Hkv, past] bool: which tokens of the past were read; None: all of them."""


class LayerCache(Protocol):
    """The cache of one layer of ``B`` streams."""

    def attend(self, step: Step) -> Attended:
        """Attend with the new tokens, causally among themselves, then keep them."""
        ...

    def fork(self) -> "LayerCache":
        """Return a cache that goes its own way from here: a question does not change a stream."""
        ...


class Method(Protocol):
    """A way to attend; its settings are its own."""

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def layer(self, index: int, layers: int) -> LayerCache:
        """Return an empty cache for layer ``index`` of ``layers``."""
        ...
