"""Tensors that grow by appending, and the keys and values of a cache made of them."""

import torch
from torch import Tensor


class Growing:
    """A tensor that grows along one dimension; a quarter more room when it runs out."""

    def __init__(self, dim: int) -> None:
        """Start empty; the first :meth:`append` tells shape, dtype and device."""
        self.dim = dim
        self.length = 0
        self._room: Tensor | None = None

    def append(self, new: Tensor) -> None:
        """Add ``new``, whose other dimensions are those of what is there."""
        count = new.shape[self.dim]
        if self._room is None:
            self._room = new.new_empty(self._shape(new, max(64, count)))
        elif self.length + count > self._room.shape[self.dim]:
            more = max(self._room.shape[self.dim] // 4, count)
            self._room = torch.cat([self._room, new.new_empty(self._shape(new, more))], self.dim)
        self._room.narrow(self.dim, self.length, count).copy_(new)
        self.length += count

    def _shape(self, like: Tensor, length: int) -> list[int]:
        shape = list(like.shape)
        shape[self.dim] = length
        return shape

    def first(self, count: int) -> Tensor:
        """Return a view of the first ``count`` entries."""
        if self._room is None:
            raise ValueError("nothing has been appended yet")
        return self._room.narrow(self.dim, 0, count)


class KVStore:
    """Every key and value of one layer's streams, [B, Hkv, N, d] each."""

    def __init__(self) -> None:
        """Start empty."""
        self._keys, self._values = Growing(2), Growing(2)

    @property
    def tokens(self) -> int:
        """N."""
        return self._keys.length

    def append(self, k: Tensor, v: Tensor) -> None:
        """Add [B, Hkv, T, d] twice."""
        self._keys.append(k)
        self._values.append(v)

    def keys(self, first: int | None = None) -> Tensor:
        """Return the first ``first`` keys, or all: [B, Hkv, first, d], a view."""
        return self._keys.first(self.tokens if first is None else first)

    def values(self) -> Tensor:
        """Return all values, [B, Hkv, N, d], a view."""
        return self._values.first(self.tokens)
