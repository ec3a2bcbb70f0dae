"""Means of vectors, a cluster each: running sums as they arrive, kept once they are sealed."""

import torch
from torch import Tensor

from resv_ref.numerics import fp32, mean_bf16


class Means:
    """Running sums of vectors of ``width`` elements, by cluster, and their means in bfloat16.

    A sum is :func:`resv_ref.numerics.fp32.add`, vector by vector in the order of arrival, from +0;
    a mean is :func:`resv_ref.numerics.mean_bf16` of it.
    """

    def __init__(self, width: int) -> None:
        """Start without clusters."""
        self._sums = torch.zeros(64, width)
        self._means = torch.zeros(64, width, dtype=torch.bfloat16)
        self._sealed = 0

    def add(self, number: int, vector: Tensor) -> None:
        """Add ``vector`` [width] float32 to the sum of cluster ``number``, 0 or more."""
        while number >= len(self._sums):
            self._sums = torch.cat([self._sums, torch.zeros_like(self._sums)])
            self._means = torch.cat([self._means, torch.zeros_like(self._means)])
        self._sums[number] = fp32.add(self._sums[number], vector)

    def seal(self, counts: Tensor) -> None:
        """Keep the means of clusters that were not sealed yet; nothing is added to them any more.

        ``counts``: the vectors of each, in the order of their numbers, [n] int64.
        """
        end = self._sealed + len(counts)
        self._means[self._sealed : end] = self._mean(counts)
        self._sealed = end

    def first(self, counts: Tensor) -> Tensor:
        """Return the means of the first clusters, sealed or not, [n, width] bfloat16.

        ``counts``: the vectors of each, [n] int64.
        """
        kept = self._means[: min(self._sealed, len(counts))]
        return torch.cat([kept, self._mean(counts[self._sealed :])])

    def _mean(self, counts: Tensor) -> Tensor:
        """Return the means of the clusters after the sealed ones, as many as have ``counts``."""
        sums = self._sums[self._sealed : self._sealed + len(counts)]
        return mean_bf16(sums, counts[:, None])
