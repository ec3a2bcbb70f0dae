"""Rotary position embedding, halves rotated as in Llama."""

import torch
from torch import Tensor


def rotation(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, fp32 [..., 1, head_dim / 2], of integer ``positions`` [...]."""
    exponents = (
        torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64) / head_dim
    )
    angles = positions[..., None].double() * theta**-exponents
    return angles.cos().float().unsqueeze(-2), angles.sin().float().unsqueeze(-2)


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate heads ``x`` [..., H, d] by their positions' ``rotation``; dtype stays."""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
