"""Attention of whole streams with questions as branches: a question changes no later frame."""

import torch
from torch import Tensor
from torch.nn import functional

from vrex_video.questions import FRAME_TOKENS


class Branches:
    """Who attends to whom: N stream tokens first, then Q questions of L tokens each.

    A frame's token sees the stream up to itself. A question's token sees the stream up to the frame
    after which it was asked, and its own question up to itself. Its position goes on from there.
    """

    frame_tokens = FRAME_TOKENS

    def __init__(self, stream: int, asked: Tensor, length: int, window: int | None) -> None:
        """``stream`` is N; ``asked`` int64 [B, Q] frames; ``length`` is L; ``window``: model."""
        device = asked.device
        self.stream = stream
        self.window = window
        place = torch.arange(length, device=device)
        seen = (asked + 1) * FRAME_TOKENS
        self.asked = seen.repeat_interleave(length, dim=1)
        """int64 [B, Q * L]: stream tokens that each question token sees."""
        branch = (seen[..., None] + place).flatten(1)
        before = torch.arange(stream, device=device)
        self.positions = torch.cat([before.expand(len(asked), -1), branch], dim=1)
        """int64 [B, N + Q * L]."""
        past = before < self.asked[..., None]
        if window is not None:
            past &= before >= self.asked[..., None] - window
        number = torch.arange(asked.shape[1], device=device).repeat_interleave(length)
        within = place.repeat(asked.shape[1])
        own = (number[:, None] == number) & (within[:, None] >= within)
        self.branch_mask = torch.cat([past, own.expand(len(asked), -1, -1)], dim=2).unsqueeze(1)
        """bool [B, 1, Q * L, N + Q * L]."""
        self.stream_mask = None
        if window is not None:
            start = before // FRAME_TOKENS * FRAME_TOKENS
            near = before >= start[:, None] - window
            self.stream_mask = near & (before <= before[:, None])

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend, [B, N + Q * L, H, d] each; returns [B, N + Q * L, Hq, d]."""
        groups = q.shape[2] // k.shape[2]
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
        n = self.stream
        mask = self.stream_mask
        frames = functional.scaled_dot_product_attention(
            q[:, :, :n], k[:, :, :n], v[:, :, :n], attn_mask=mask, is_causal=mask is None
        )
        questions = functional.scaled_dot_product_attention(
            q[:, :, n:], k, v, attn_mask=self.branch_mask
        )
        return torch.cat([frames, questions], dim=2).transpose(1, 2)
