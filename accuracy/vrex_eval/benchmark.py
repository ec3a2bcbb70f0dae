"""What an evaluation needs of a model and its streams: a protocol, so that any can be tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor

from vrex_eval.method import Method


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question put to one stream of a batch."""

    kind: str
    """Whose accuracy it counts to: step, next, task, ..."""
    stream: int
    """Which stream of the batch."""
    frame: int
    """It is asked once this frame has been seen."""
    text: tuple[int, ...]
    """Its tokens; the answer follows the last of them."""
    answer: tuple[int, ...]
    """The right tokens."""
    distance: int
    """Tokens from the question back to what it asks for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Streams of equal length that are watched in step."""

    frames: Tensor
    """[B, F, ...]: what the model's ``frame`` takes, a frame at a time."""
    questions: Sequence[Question]
    """In any order."""


class Watching(Protocol):
    """Streams under way, with one cache a layer that the method made."""

    def frame(self, frames: Tensor) -> Tensor:
        """Watch a frame of every stream; return the final hidden state, [B, T, width]."""
        ...

    def text(self, tokens: Tensor) -> Tensor:
        """Read text tokens int64 [B, T]; return logits [B, T, words]."""
        ...

    def fork(self) -> Self:
        """Return the same streams to go on elsewhere."""
        ...


class Benchmark(Protocol):
    """A trained streaming model with its held-out streams."""

    identity: str
    """What tells it from other models and data: results of two never mix."""
    seed: int
    """The seed that the model was trained with."""
    kinds: tuple[str, ...]
    """The kinds of questions, in the order of tables."""
    old_kinds: tuple[str, ...]
    """Those of them that need old memory."""
    layers: int
    """Layers of the decoder."""
    device: str
    """Where the model is, by torch's name."""

    def on(self, device: str) -> "Benchmark":
        """Return the same on another device."""
        ...

    def begin(self, method: Method) -> Watching:
        """Return streams that have seen nothing; caches are the method's."""
        ...

    def batch(self, context: int, first: int, count: int) -> Batch:
        """Return test streams ``first`` to ``first`` + ``count`` - 1 of ``context`` tokens.

        The same arguments give the same streams. ``frames`` are on the model's device.
        """
        ...
