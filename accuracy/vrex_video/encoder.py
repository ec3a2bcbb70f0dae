"""Pixels to tokens: each patch through a small convolution, and one token for the whole frame."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrex_video.questions import FRAME_TOKENS
from vrex_video.render import CELL, GRID


class Encoder(nn.Module):
    """uint8 [..., 3, SIDE, SIDE] -> [..., FRAME_TOKENS, width]; the global token is first."""

    def __init__(self, width: int, channels: int = 48) -> None:
        """``width`` is the decoder's; ``channels`` those of the first convolution."""
        super().__init__()
        features = 2 * width
        self.first = nn.Conv2d(3, channels, 5, stride=2, padding=2)
        self.second = nn.Conv2d(channels, 64, 3, stride=2, padding=1)
        self.features = nn.Linear(64 * (CELL // 4) ** 2, features)
        self.whole = nn.Linear(features, features)
        self.projector = nn.Linear(features, width)
        self.places = nn.Parameter(torch.randn(FRAME_TOKENS, width) * 0.02)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the frames' tokens, in the dtype of the weights."""
        shape = frames.shape[:-3]
        pixels = frames.reshape(-1, 3, GRID, CELL, GRID, CELL).permute(0, 2, 4, 1, 3, 5)
        pixels = pixels.reshape(-1, 3, CELL, CELL).to(self.places.dtype) / 128 - 1
        x = functional.gelu(self.second(functional.gelu(self.first(pixels))))
        patches = functional.gelu(self.features(x.flatten(1))).unflatten(0, (-1, GRID * GRID))
        whole = functional.gelu(self.whole(patches.mean(dim=1, keepdim=True)))
        tokens = self.projector(torch.cat([whole, patches], dim=1)) + self.places
        return tokens.reshape(*shape, FRAME_TOKENS, -1)
