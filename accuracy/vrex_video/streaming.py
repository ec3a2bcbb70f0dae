"""A model that watches: frames and question tokens in chunks, through any method of attention."""

from __future__ import annotations

import torch
from torch import Tensor

from vrex_eval.method import Attended, LayerCache, Method, Stage, Step
from vrex_video.model import VideoModel
from vrex_video.rope import rotate


class StreamingModel:
    """``B`` streams under way in step, with one cache a layer made by a ``Method``."""

    def __init__(self, model: VideoModel, method: Method) -> None:
        """Begin streams with empty caches; B is that of the first chunk."""
        self.model = model
        layers = model.config.layers
        self.caches: list[LayerCache] = [method.layer(n, layers) for n in range(layers)]
        self.tokens = 0
        """Tokens in each cache."""
        self.attended: list[Attended] = []
        """What attention gave in the last chunk, a layer each."""

    def fork(self) -> StreamingModel:
        """Return the same streams to go on elsewhere, with a question say; this one stays."""
        other = object.__new__(StreamingModel)
        other.model, other.tokens, other.attended = self.model, self.tokens, self.attended
        other.caches = [cache.fork() for cache in self.caches]
        return other

    @torch.no_grad()
    def frame(self, frames: Tensor) -> Tensor:
        """Watch a frame: uint8 [B, 3, SIDE, SIDE] -> hidden [B, FRAME_TOKENS, width], normed."""
        return self._run(self.model.encoder(frames), Stage.FRAME)

    @torch.no_grad()
    def text(self, tokens: Tensor) -> Tensor:
        """Read text tokens int64 [B, T] -> logits [B, T, len(WORDS)]."""
        return self.model.head(self._run(self.model.words(tokens), Stage.TEXT))

    def answer(self, question: Tensor, length: int) -> Tensor:
        """Read a question int64 [B, T] and answer greedily: int64 [B, length].

        The question and the answer stay in the caches: call it on a ``fork()``.
        """
        logits = self.text(question)[:, -1]
        tokens = [logits.argmax(-1)]
        while len(tokens) < length:
            tokens.append(self.text(tokens[-1][:, None])[:, -1].argmax(-1))
        return torch.stack(tokens, dim=1)

    def _run(self, x: Tensor, stage: Stage) -> Tensor:
        positions = torch.arange(self.tokens, self.tokens + x.shape[1], device=x.device)
        turn = self.model.turn(positions)
        previous: Tensor | None = None
        self.attended = []
        for layer, cache in zip(self.model.decoder(), self.caches, strict=True):
            normed = layer.attention_norm(x)
            q, k, v = layer.heads(normed)
            early = None
            if previous is not None:
                early = rotate(layer.query(previous).unflatten(-1, q.shape[-2:]), turn)
            step = Step(
                q=rotate(q, turn),
                k=rotate(k, turn),
                v=v,
                q_plain=q,
                k_plain=k,
                stage=stage,
                q_previous=early,
            )
            attended = cache.attend(step)
            self.attended.append(attended)
            previous = normed
            x = layer.after(x, attended.out)
        self.tokens += x.shape[1]
        return self.model.norm(x)
