"""Pixels to tokens: each patch by convolutions (written as products: they are many and tiny).

One more token is for the whole frame.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vrex_video.questions import FRAME_TOKENS
from vrex_video.render import CELL, GRID

WINDOW = 5
"""Pixels of the side of what the first layer sees, every other pixel."""


class Encoder(nn.Module):
    """uint8 [B, ..., 3, SIDE, SIDE] -> [B, ..., FRAME_TOKENS, width]; the global token is first."""

    def __init__(self, width: int, channels: int = 48) -> None:
        """``width`` is the decoder's; ``channels`` those of the first layer."""
        super().__init__()
        features = 2 * width
        self.first = nn.Linear(3 * WINDOW**2, channels)
        self.second = nn.Linear(4 * channels, 64)
        self.features = nn.Linear(64 * (CELL // 4) ** 2, features)
        self.whole = nn.Linear(features, features)
        self.projector = nn.Linear(features, width)
        self.places = nn.Parameter(torch.randn(FRAME_TOKENS, width) * 0.02)
        self.begin = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, frames: Tensor, begin: bool) -> Tensor:
        """Return the frames' tokens; ``begin`` marks the first one, which begins the streams.

        The mark gives attention a place to rest where nothing fits, so that how much of it finds
        something can tell how often something was seen.
        """
        shape = frames.shape[:-3]
        pixels = frames.reshape(-1, 3, GRID, CELL, GRID, CELL).permute(0, 2, 4, 1, 3, 5)
        pixels = pixels.reshape(-1, 3, CELL, CELL)
        padded = functional.pad(pixels, [WINDOW // 2] * 4, value=128)
        windows = padded.unfold(2, WINDOW, 2).unfold(3, WINDOW, 2).permute(0, 2, 3, 1, 4, 5)
        x = windows.flatten(3).to(self.places.dtype) / 128 - 1
        x = functional.gelu(self.first(x))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)
        x = functional.gelu(self.second(x.flatten(3)))
        patches = functional.gelu(self.features(x.flatten(1))).unflatten(0, (-1, GRID * GRID))
        whole = functional.gelu(self.whole(patches.mean(dim=1, keepdim=True)))
        tokens = self.projector(torch.cat([whole, patches], dim=1))
        tokens = tokens + self.places.to(tokens.dtype)
        tokens = tokens.reshape(len(frames), -1, tokens.shape[-1])
        if begin:
            tokens = torch.cat([tokens[:, :1] + self.begin.to(tokens.dtype), tokens[:, 1:]], dim=1)
        return tokens.reshape(*shape, FRAME_TOKENS, -1)
