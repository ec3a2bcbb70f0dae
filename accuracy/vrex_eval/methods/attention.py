"""Attention of a chunk of new tokens to what is kept of the past, the same for every method.

A *row* is one new token of one query head; a KV head's rows are those of the query heads that share
it, head by head: row g * T + t is token t of the group's head g.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def by_head(x: Tensor) -> Tensor:
    """Return [B, T, H, d] as [B, H, T, d]."""
    return x.transpose(1, 2)


def rows(q: Tensor, kv_heads: int) -> Tensor:
    """Return queries [B, T, Hq, d] as the KV heads' rows, [B, Hkv, G * T, d]."""
    batch, tokens, heads, d = q.shape
    grouped = q.reshape(batch, tokens, kv_heads, heads // kv_heads, d)
    return grouped.permute(0, 2, 3, 1, 4).flatten(2, 3)


def from_rows(out: Tensor, tokens: int) -> Tensor:
    """Undo :func:`rows`: [B, Hkv, G * T, d] to [B, T, Hq, d]."""
    return out.unflatten(2, (-1, tokens)).permute(0, 3, 1, 2, 4).flatten(2, 3)


def visible(
    keep: Tensor | None, past: int, tokens: int, group: int, device: torch.device
) -> Tensor:
    """Return what each row sees, bool, broadcastable to [B, Hkv, G * T, past + T].

    ``keep`` [B, Hkv, past] bool are the tokens of the past that are read, None: all. The chunk
    itself is seen causally.
    """
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril().repeat(group, 1)
    if keep is None:
        before = torch.ones(group * tokens, past, dtype=torch.bool, device=device)
        return torch.cat([before, causal], -1)
    shape = (*keep.shape[:2], group * tokens)
    before = keep[:, :, None].expand(*shape, past)
    return torch.cat([before, causal.expand(*shape, tokens)], -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stand:
    """Means that stand for tokens that are not read; C of them."""

    k: Tensor
    """[B, Hkv, C, d]: mean keys."""
    v: Tensor
    """[B, Hkv, C, d]: mean values."""
    tokens: Tensor
    """[B, Hkv, C]: how many tokens each stands for; 0: it is not attended."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, stand: Stand | None = None
) -> Tensor:
    """Return softmax attention, [B, T, Hq, d] in the queries' dtype.

    ``q`` [B, T, Hq, d] are a chunk's queries, ``k`` and ``v`` [B, Hkv, past + T, d] the cache with
    the chunk at its end, ``keep`` as in :func:`visible`. A mean of ``stand`` has the weight of as
    many tokens as it stands for.
    """
    tokens, kv_heads = q.shape[1], k.shape[1]
    past = k.shape[2] - tokens
    mask = visible(keep, past, tokens, q.shape[2] // kv_heads, q.device)
    of_rows = rows(q, kv_heads)
    if stand is not None:
        bias = stand.tokens.log().to(q.dtype)[:, :, None].expand(*of_rows.shape[:3], -1)
        zeros = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, -math.inf)
        mask = torch.cat([bias, zeros.expand(*of_rows.shape[:3], -1)], -1)
        k, v = torch.cat([stand.k.to(k), k], 2), torch.cat([stand.v.to(v), v], 2)
    out = scaled_dot_product_attention(of_rows, k, v, attn_mask=mask)
    return from_rows(out, tokens)


def probabilities(q: Tensor, k: Tensor) -> Tensor:
    """Return exact attention's weights, float32 [B, Hkv, G * T, past + T].

    Arguments are those of :func:`attend`.
    """
    tokens, kv_heads = q.shape[1], k.shape[1]
    past = k.shape[2] - tokens
    scores = rows(q, kv_heads).float() @ k.float().mT / math.sqrt(q.shape[-1])
    seen = visible(None, past, tokens, q.shape[2] // kv_heads, q.device)
    return scores.masked_fill(~seen, -math.inf).softmax(-1)
