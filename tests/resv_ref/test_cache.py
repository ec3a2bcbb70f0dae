"""The KV cache: what was stored comes back, by head and token, however often it grew."""

import torch

from resv_ref.cache import KVCache


def test_any_tokens_come_back() -> None:
    g = torch.Generator().manual_seed(1)
    cache, stored = KVCache(3, 5), []
    for frame in range(12):
        k, v = torch.randn(2, 7 + 20 * (frame % 3), 3, 5, generator=g).bfloat16()
        cache.append(k, v)
        stored.append((k, v))
    keys, values = (torch.cat(parts) for parts in zip(*stored, strict=True))
    assert len(keys) > 300
    tokens = [torch.randint(len(keys), (n,), generator=g) for n in (0, 40, 7)]
    k, v = cache.gather(tokens)
    assert k.shape == v.shape == (3, 40, 5)
    for head, some in enumerate(tokens):
        assert torch.equal(k[head, : len(some)], keys[some, head])
        assert torch.equal(v[head, : len(some)], values[some, head])
