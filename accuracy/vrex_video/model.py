"""The streaming video language model: patch encoder, projector, and a decoder with RoPE and GQA."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrex_video.encoder import Encoder
from vrex_video.masks import Branches
from vrex_video.rope import rotate, rotation
from vrex_video.vocabulary import WORDS

Rotation = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Config:
    """Sizes of a model."""

    layers: int = 6
    width: int = 256
    query_heads: int = 8
    kv_heads: int = 2
    head_dim: int = 64
    hidden: int = 704
    """Width of the gated feed-forward network."""
    theta: float = 5e5
    """RoPE's base."""


class Layer(nn.Module):
    """A decoder layer: normed attention, normed gated feed-forward network."""

    def __init__(self, config: Config) -> None:
        """Make the layer's weights."""
        super().__init__()
        self.config = config
        width, head_dim = config.width, config.head_dim
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.query = nn.Linear(width, config.query_heads * head_dim, bias=False)
        self.key = nn.Linear(width, config.kv_heads * head_dim, bias=False)
        self.value = nn.Linear(width, config.kv_heads * head_dim, bias=False)
        self.out = nn.Linear(config.query_heads * head_dim, width, bias=False)
        self.feed_norm = nn.RMSNorm(width, eps=1e-5)
        self.gate = nn.Linear(width, config.hidden, bias=False)
        self.up = nn.Linear(width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, width, bias=False)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values [B, T, H, d], before RoPE, of normed input ``x``."""
        size = (-1, self.config.head_dim)
        return (
            self.query(x).unflatten(-1, size),
            self.key(x).unflatten(-1, size),
            self.value(x).unflatten(-1, size),
        )

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """Return the layer's output from its input ``x`` and attention's [B, T, Hq, d]."""
        x = x + self.out(attended.flatten(-2))
        normed = self.feed_norm(x)
        return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))

    def forward(self, x: Tensor, turn: Rotation, branches: Branches) -> Tensor:
        """Run whole streams and their questions at once; ``turn`` is the positions' rotation."""
        q, k, v = self.heads(self.attention_norm(x))
        return self.after(x, branches.attend(rotate(q, turn), rotate(k, turn), v))


class VideoModel(nn.Module):
    """Frames and question tokens in, logits over ``WORDS`` out."""

    def __init__(self, config: Config | None = None) -> None:
        """Make a model with random weights, from torch's global random numbers."""
        super().__init__()
        self.config = config or Config()
        self.encoder = Encoder(self.config.width)
        self.words = nn.Embedding(len(WORDS), self.config.width)
        self.layers = nn.ModuleList(Layer(self.config) for _ in range(self.config.layers))
        self.norm = nn.RMSNorm(self.config.width, eps=1e-5)
        self.head = nn.Linear(self.config.width, len(WORDS), bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and "encoder" not in name:
                nn.init.normal_(weight, std=0.02)
        for layer in self.decoder():
            for part in (layer.out, layer.down):
                nn.init.normal_(part.weight, std=0.02 / (2 * self.config.layers) ** 0.5)

    def decoder(self) -> list[Layer]:
        """Return the layers, first to last."""
        return [cast(Layer, layer) for layer in self.layers]

    def turn(self, positions: Tensor) -> Rotation:
        """Return RoPE's rotation of token positions [...]."""
        return rotation(positions, self.config.head_dim, self.config.theta)

    def forward(
        self, frames: Tensor, asked: Tensor, text: Tensor, window: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run whole streams with questions as branches that no later frame sees.

        ``frames`` uint8 [B, F, 3, SIDE, SIDE]; ``asked`` int64 [B, Q]: the frame after which each
        question comes; ``text`` int64 [B, Q, L]: its tokens. ``window`` keeps that many tokens
        before a frame or a question, None all. Returns logits [B, Q, L, len(WORDS)] and the hidden
        state of every frame's last token, [B, F, width], both after the last norm.
        """
        tokens = self.encoder(frames).flatten(1, 2)
        branches = Branches(tokens.shape[1], asked, text.shape[2], window)
        x = torch.cat([tokens, self.words(text).flatten(1, 2).to(tokens.dtype)], dim=1)
        turn = self.turn(branches.positions)
        for layer in self.decoder():
            x = layer(x, turn, branches)
        x = self.norm(x)
        stream, questions = x.split([branches.stream, branches.asked.shape[1]], dim=1)
        ends = stream[:, branches.frame_tokens - 1 :: branches.frame_tokens]
        return self.head(questions).unflatten(1, text.shape[1:]), ends
