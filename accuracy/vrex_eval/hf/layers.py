"""What of a transformers model an attention layer must have, and what it computes before RoPE."""

from typing import Any

import torch
from torch import Tensor, nn

from vrex import UserError

NEEDED = ("q_proj", "k_proj", "v_proj", "layer_idx", "head_dim", "scaling")


def attention_layers(model: nn.Module) -> list[Any]:
    """Return the decoder's attention modules, in order.

    Raises :class:`~vrex.UserError` for a model that is not of Llama's or Qwen's kind: separate
    projections, RoPE over the whole head, scores over sqrt(d), no sliding window.
    """
    found: list[Any] = [m for m in model.modules() if all(hasattr(m, name) for name in NEEDED)]
    kind = type(model).__name__
    if not found:
        raise UserError(
            f"{kind} has no attention with {', '.join(NEEDED)}: give a Llama or Qwen type of model"
        )
    for layer in found:
        if getattr(layer, "sliding_window", None) is not None:
            raise UserError(f"{kind} has sliding windows: load it with use_sliding_window=False")
        if abs(layer.scaling * layer.head_dim**0.5 - 1) > 1e-6:
            raise UserError(f"{kind} scales scores by {layer.scaling:g}: only 1/sqrt(d) is known")
    return sorted(found, key=lambda layer: layer.layer_idx)


def plain(layer: Any, hidden: Tensor, name: str) -> Tensor:
    """Return queries (``name`` q) or keys (k) before RoPE, [B, T, H, d], of the layer's input."""
    x = getattr(layer, f"{name}_proj")(hidden).unflatten(-1, (-1, layer.head_dim))
    norm = getattr(layer, f"{name}_norm", None)
    return x if norm is None else norm(x)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Apply RoPE to [B, T, H, d] as transformers does; ``turn`` are cos and sin, [B, T, d]."""
    cos, sin = (part[:, :, None] for part in turn)
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
