"""Hash cluster tables of many heads at once: the float reference's rules, vectorised over tables.

The rules are those of :class:`resv_ref.clustering.HCTable`; a table is a KV head of a stream, or
all of a layer's heads together where ``cluster_scope`` is per_layer. Only clusters whose first
token is among the last ``join_window`` can be joined, so each table keeps a window of at most as
many *slots*: one for each of these tokens, with the cluster, if any, that it opened.
"""

import torch
from torch import Tensor

from resv_ref.trace import draw_hyperplanes
from vrex import Params
from vrex_eval.methods.growing import Growing

FAR = 1 << 20
"""More than any Hamming distance times any number of slots."""


class ClusterTables:
    """S tables of clusters, numbered in the order in which they are opened."""

    def __init__(self, params: Params) -> None:
        """Start empty; the first :meth:`add` tells sizes and device."""
        self.params = params
        self.tokens = 0
        """Tokens of the stream so far, sinks included."""
        self.cluster_of = Growing(1)
        """[S, N] int64: each token's cluster; -1: a sink."""
        self._started = False

    def _start(self, keys: Tensor) -> None:
        tables, width = keys.shape[0], keys.shape[2]
        p, device = self.params, keys.device
        self.planes = draw_hyperplanes(p.n_hyperplanes, width).float().to(device)
        self.counts = torch.zeros(tables, 64, dtype=torch.int64, device=device)
        self.sums = torch.zeros(tables, 64, width, device=device)
        self.clusters = torch.zeros(tables, dtype=torch.int64, device=device)
        """[S] int64: clusters of each table, open ones included."""
        self.sealed = torch.zeros_like(self.clusters)
        """[S] int64: the first of them, which never change any more."""
        slots = (tables, 0)
        self._opened = torch.zeros(slots, dtype=torch.bool, device=device)
        self._number = torch.zeros(slots, dtype=torch.int64, device=device)
        self._bits = torch.zeros(*slots, p.n_hyperplanes, device=device)
        self._hash_sums = torch.zeros(*slots, width, device=device)
        self._most = 0
        self._started = True

    def add(self, keys: Tensor, hashed: Tensor) -> None:
        """Store a frame: ``keys`` [S, T, w] make the means, ``hashed`` [S, T, w] the bits.

        Both float32, already rounded to BF16.
        """
        if not self._started:
            self._start(keys)
        tokens, window = keys.shape[1], self._opened.shape[1]
        self._make_room(tokens)
        self._slide_in(hashed)
        distances = self._distances(self._bits[:, -tokens:]).long()
        number = torch.full(keys.shape[:2], -1, dtype=torch.int64, device=keys.device)
        for t in range(max(0, self.params.n_sinks - self.tokens), tokens):
            if self.params.cluster_bits == "mean":
                distances = self._distances(self._bits[:, -tokens:]).long()
            number[:, t] = self._place(window + t, distances[:, t], keys[:, t], hashed[:, t])
        self.cluster_of.append(number)
        self._slide_out()
        self.tokens += tokens
        self._seal()

    def _distances(self, bits: Tensor) -> Tensor:
        """Return Hamming distances of ``bits`` [S, t, N_hp] (+-1) to all slots, [S, t, slots]."""
        return (self.params.n_hyperplanes - bits @ self._bits.mT) / 2

    def _signs(self, keys: Tensor) -> Tensor:
        return torch.where(keys @ self.planes.T > 0, 1.0, -1.0)

    def _slide_in(self, hashed: Tensor) -> None:
        """Put a frame's tokens behind the window's; none has opened a cluster yet."""
        shape = hashed.shape[:2]
        self._opened = torch.cat([self._opened, self._opened.new_zeros(shape)], 1)
        self._number = torch.cat([self._number, self._number.new_zeros(shape)], 1)
        self._bits = torch.cat([self._bits, self._signs(hashed)], 1)
        self._hash_sums = torch.cat([self._hash_sums, hashed], 1)

    def _slide_out(self) -> None:
        latest = slice(-self.params.join_window, None)
        self._opened, self._number = self._opened[:, latest], self._number[:, latest]
        self._bits, self._hash_sums = self._bits[:, latest], self._hash_sums[:, latest]

    def _place(self, own: int, distance: Tensor, key: Tensor, hashed: Tensor) -> Tensor:
        """Put the token of slot ``own`` into its cluster; return the clusters' numbers, [S].

        ``distance`` [S, slots] integers, ``key`` and ``hashed`` [S, w]. Ties go to the earliest
        slot, which has the lowest number. The own slot has no cluster yet: it cannot be joined.
        """
        p = self.params
        reach = slice(max(0, own - p.join_window), own + 1)
        number = self._number[:, reach]
        size = self.counts.gather(1, number)
        near = distance[:, reach]
        joinable = self._opened[:, reach] & (size < p.cluster_cap) & (near < p.hamming_threshold)
        order = near * FAR + torch.arange(reach.start, reach.stop, device=near.device)
        best = torch.where(joinable, order, FAR * FAR).amin(1)
        joins = best < FAR * FAR
        slot = torch.where(joins, best % FAR, own)[:, None]
        chosen = torch.where(joins, self._number.gather(1, slot)[:, 0], self.clusters)
        self._opened[:, own] = ~joins
        self._number[:, own] = chosen
        self.clusters = self.clusters + (~joins).long()
        self.counts.scatter_add_(1, chosen[:, None], torch.ones_like(chosen)[:, None])
        of_key = chosen[:, None, None].expand(-1, 1, key.shape[1])
        self.sums.scatter_add_(1, of_key, key[:, None])
        if p.cluster_bits == "mean":
            self._rehash(slot, joins, chosen, hashed)
        return chosen

    def _rehash(self, slot: Tensor, joins: Tensor, chosen: Tensor, hashed: Tensor) -> None:
        """Give the clusters that were joined the bits of their mean hashed key."""
        of_sum = slot[:, :, None].expand(-1, 1, hashed.shape[1])
        added = torch.where(joins[:, None], hashed, 0.0)
        self._hash_sums.scatter_add_(1, of_sum, added[:, None])
        size = self.counts.gather(1, chosen[:, None])
        bits = self._signs(self._hash_sums.gather(1, of_sum)[:, 0] / size)
        of_bits = slot[:, :, None].expand(-1, 1, bits.shape[1])
        self._bits.scatter_(1, of_bits, bits[:, None])

    def _make_room(self, tokens: int) -> None:
        """Have room for a frame that opens ``tokens`` clusters; look at the device rarely."""
        self._most += tokens
        if self._most <= self.counts.shape[1]:
            return
        self._most = int(self.clusters.amax()) + tokens
        if self._most > self.counts.shape[1]:
            more = max(self.counts.shape[1], tokens)
            self.counts = torch.nn.functional.pad(self.counts, (0, more))
            self.sums = torch.nn.functional.pad(self.sums, (0, 0, 0, more))

    def _seal(self) -> None:
        """Seal what has more than ``recent_window`` tokens from its number on."""
        behind = self.counts.sum(1, keepdim=True) - self.counts.cumsum(1) + self.counts
        self.sealed = (behind > self.params.recent_window).sum(1)

    def means(self, clusters: int) -> Tensor:
        """Return Key_cluster of the first ``clusters`` clusters, [S, clusters, w], BF16's values.

        Past a table's own clusters it is 0.
        """
        counts = self.counts[:, :clusters, None].clamp(min=1)
        return (self.sums[:, :clusters] / counts).bfloat16().float()
