"""The hash cluster (HC) table: which tokens of one KV head belong together.

Source: paper, hash-bit key clustering; best match, windows and cap are our decisions.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from resv_ref.means import Means
from resv_ref.numerics import fp32
from vrex import Params

BITS_MASK = (1 << 64) - 1


class HCTable:
    """Clusters of one KV head, numbered in the order in which they are opened.

    A cluster is *open* while it lies in the recent window and *sealed* afterwards; sealed ones
    never change. It is *joinable* while its first member is at most ``join_window`` tokens back
    and it has fewer than ``cluster_cap`` members: a subset of the open ones, since
    ``join_window`` <= ``recent_window``.

    ``width`` is the length of a key, and of a value; values are needed where ``estimate`` is set,
    and there alone. ``rehash`` is given where a cluster's bits are those of its mean
    (``cluster_bits`` = mean): it maps a mean key of shape [hash width] to its bits.
    """

    def __init__(
        self, params: Params, width: int, rehash: Callable[[Tensor], int] | None = None
    ) -> None:
        """Make an empty table."""
        self.params = params
        self.bits: list[int] = []
        """Hash bits of each cluster, unsigned: bit m = hyperplane m."""
        self.members: list[list[int]] = []
        """Token indices of each cluster, in arrival order."""
        self.sealed = 0
        """Clusters 0 to ``sealed`` - 1 are sealed, the rest are open."""
        self.window = 0
        """Tokens in the open clusters."""
        self._rehash = rehash
        self._hash_sums: list[Tensor] = []
        self._keys = Means(width)
        self._values = Means(width) if params.estimate else None

    def __len__(self) -> int:
        """Return how many clusters there are, open ones included."""
        return len(self.members)

    def assign(
        self, token: int, bits: int, key: Tensor, hashed: Tensor, value: Tensor | None = None
    ) -> int:
        """Put a token into its cluster and return the cluster's number.

        The cluster is the nearest joinable one at a distance strictly below
        ``hamming_threshold``, the lowest number on ties; else a new one.

        ``token`` is its index in the stream, ``bits`` its hash bits (signed or unsigned),
        ``key`` [width] fp32 what the mean is made of, ``hashed`` fp32 the key that was hashed,
        ``value`` [width] fp32, not read unless ``estimate`` is set. Raises ValueError if it is
        missing there.
        """
        if self._values is not None and value is None:
            raise ValueError("value is missing: estimate is set, and needs it of every token")
        bits &= BITS_MASK
        number = self._nearest(token, bits)
        if number is None:
            number = self._open(bits, hashed)
        self.members[number].append(token)
        self._keys.add(number, key)
        if self._values is not None and value is not None:
            self._values.add(number, value)
        self.window += 1
        if self._rehash is not None and len(self.members[number]) > 1:
            self._hash_sums[number] = fp32.add(self._hash_sums[number], hashed)
            mean = self._hash_sums[number] / len(self.members[number])
            self.bits[number] = self._rehash(mean) & BITS_MASK
        return number

    def _nearest(self, token: int, bits: int) -> int | None:
        """Scan from the newest cluster down, so that `<=` leaves the lowest number on ties."""
        best, least = None, self.params.hamming_threshold - 1
        for number in range(len(self) - 1, self.sealed - 1, -1):
            members = self.members[number]
            if token - members[0] > self.params.join_window:
                break
            if len(members) < self.params.cluster_cap:
                distance = (self.bits[number] ^ bits).bit_count()
                if distance <= least:
                    best, least = number, distance
        return best

    def _open(self, bits: int, hashed: Tensor) -> int:
        number = len(self)
        self.bits.append(bits)
        self.members.append([])
        if self._rehash is not None:
            self._hash_sums.append(hashed)
        return number

    def seal(self) -> None:
        """Seal the lowest open clusters until the window fits; call once a frame is stored."""
        first = self.sealed
        while self.window > self.params.recent_window:
            self.window -= len(self.members[self.sealed])
            self.sealed += 1
        if self.sealed > first:
            counts = self._counts(first, self.sealed)
            self._keys.seal(counts)
            if self._values is not None:
                self._values.seal(counts)

    def counts(self, clusters: int) -> Tensor:
        """Return the token counts of the first ``clusters`` clusters, [clusters] int64."""
        return self._counts(0, clusters)

    def _counts(self, first: int, end: int) -> Tensor:
        return torch.tensor([len(m) for m in self.members[first:end]], dtype=torch.int64)

    def means(self, clusters: int) -> Tensor:
        """Return Key_cluster of the first ``clusters`` clusters, [clusters, width] bfloat16."""
        return self._keys.first(self.counts(clusters))

    def value_means(self, clusters: int) -> Tensor:
        """Return Value_cluster of the first ``clusters`` clusters, [clusters, width] bfloat16:
        their values' means, made as those of keys are. Raises ValueError without ``estimate``.
        """
        if self._values is None:
            raise ValueError("there are no means of values: estimate is not set")
        return self._values.first(self.counts(clusters))

    def tokens(self, clusters: Tensor) -> Tensor:
        """Return the members of the clusters numbered ``clusters``, [n] int64, in that order."""
        found = [token for number in clusters.tolist() for token in self.members[number]]
        return torch.tensor(found, dtype=torch.int64)
