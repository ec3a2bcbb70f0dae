"""The KV cache of one layer's stream: every token's key and value, as the model gave them."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class KVCache:
    """Keys and values of the stream so far, which grow by a frame at a time."""

    def __init__(self, kv_heads: int, d: int) -> None:
        """Start empty."""
        self._tokens = 0
        self._keys = torch.zeros(64, kv_heads, d, dtype=torch.bfloat16)
        self._values = torch.zeros_like(self._keys)

    def append(self, k: Tensor, v: Tensor) -> None:
        """Store a frame: ``k`` and ``v`` [T, Hkv, d] bfloat16."""
        end = self._tokens + len(k)
        while len(self._keys) < end:
            self._keys = torch.cat([self._keys, torch.zeros_like(self._keys)])
            self._values = torch.cat([self._values, torch.zeros_like(self._values)])
        self._keys[self._tokens : end], self._values[self._tokens : end] = k, v
        self._tokens = end

    def gather(self, tokens: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the keys and values of ``tokens``, stream indices [n] int64 for each KV head.

        Both are [Hkv, N, d] bfloat16 with N the most of any head; what lies past a head's own
        tokens is some other token's.
        """
        index = pad_sequence(tokens, batch_first=True)
        heads = torch.arange(len(tokens))[:, None]
        return self._keys[index, heads], self._values[index, heads]
