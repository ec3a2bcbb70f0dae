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
"""A power of two above any number of slots."""
NONE = FAR * FAR
"""Above every distance times FAR. A rank of 3 * FAR + 7 is slot 7 at distance 3, NONE + 9 is slot 9
with nothing to join; % FAR gives the slot of both."""


class ClusterTables:
    """S tables of clusters, numbered in the order in which they are opened."""

    def __init__(self, params: Params, *, spreads: bool = False) -> None:
        """Start empty; the first :meth:`add` tells sizes and device.

        ``spreads``: squares are summed too, for :meth:`variances`.
        """
        self.params = params
        self.spreads = spreads
        self.tokens = 0
        """Tokens of the stream so far, sinks included."""
        self.cluster_of = Growing(1)
        """[S, N] int64: each token's cluster; -1: a sink."""
        self._started = False

    def _start(self, keys: Tensor, hashed: Tensor) -> None:
        tables, width = keys.shape[0], hashed.shape[2]
        p, device = self.params, keys.device
        self.planes = draw_hyperplanes(p.n_hyperplanes, width).float().to(device)
        self.counts = torch.zeros(tables, 64, dtype=torch.int64, device=device)
        self.sums = torch.zeros(tables, 64, keys.shape[2], device=device)
        self.squares = torch.zeros(tables, 64, device=device)
        self.clusters = torch.zeros(tables, dtype=torch.int64, device=device)
        """[S] int64: clusters of each table, open ones included."""
        self.sealed = torch.zeros_like(self.clusters)
        """[S] int64: the first of them, which never change any more."""
        slots = (tables, 0)
        self._room = torch.zeros(slots, dtype=torch.int64, device=device)
        """[S, slots]: how many more may join the slot's cluster; 0 where it has none."""
        self._number = torch.zeros(slots, dtype=torch.int64, device=device)
        self._bits = torch.zeros(*slots, p.n_hyperplanes, device=device)
        self._hash_sums = torch.zeros(*slots, width, device=device)
        self._most = 0
        self._started = True

    def add(self, keys: Tensor, hashed: Tensor) -> None:
        """Store a frame: ``keys`` [S, T, w] make the means, ``hashed`` [S, T, w'] the bits.

        Both float32, already rounded to BF16. What else has a mean lies behind the keys.
        """
        if not self._started:
            self._start(keys, hashed)
        tokens, window = keys.shape[1], self._room.shape[1]
        sinks = min(tokens, max(0, self.params.n_sinks - self.tokens))
        self._make_room(tokens)
        self._slide_in(hashed)
        slot = torch.arange(window, window + tokens, device=keys.device).expand(keys.shape[:2])
        if sinks < tokens:
            placed = self._place(window + sinks, hashed[:, sinks:])
            slot = torch.cat([slot[:, :sinks], placed], 1)
        number = self._count(window, slot, keys, sinks)
        self.cluster_of.append(number)
        self._slide_out()
        self.tokens += tokens
        self._seal()

    def _slide_in(self, hashed: Tensor) -> None:
        """Put a frame's tokens behind the window's; none has opened a cluster yet."""
        shape = hashed.shape[:2]
        self._room = torch.cat([self._room, self._room.new_zeros(shape)], 1)
        self._number = torch.cat([self._number, self._number.new_zeros(shape)], 1)
        self._bits = torch.cat([self._bits, self._signs(hashed)], 1)
        if self.params.cluster_bits == "mean":
            self._hash_sums = torch.cat([self._hash_sums, hashed], 1)

    def _slide_out(self) -> None:
        latest = slice(-self.params.join_window, None)
        self._room, self._number = self._room[:, latest], self._number[:, latest]
        self._bits, self._hash_sums = self._bits[:, latest], self._hash_sums[:, latest]

    def _signs(self, keys: Tensor) -> Tensor:
        return torch.where(keys @ self.planes.T > 0, 1.0, -1.0)

    def _order(self, first: int, last: int) -> Tensor:
        """Return how slots ``first`` to ``last`` rank all slots, [S, t, slots].

        The least is the best match: by distance, then by slot, and so by number; ``NONE`` and
        more is a slot that they cannot join. Their own and later ones have no cluster yet.
        """
        p, bits = self.params, self._bits
        own = torch.arange(first, last + 1, device=bits.device)
        distance = ((p.n_hyperplanes - bits[:, first : last + 1] @ bits.mT) / 2).long()
        slots = torch.arange(bits.shape[1], device=bits.device)
        out = (slots < own[:, None] - p.join_window) | (distance >= p.hamming_threshold)
        return torch.where(out, NONE + own[:, None], distance * FAR + slots)

    def _place(self, first: int, hashed: Tensor) -> Tensor:
        """Put the tokens of slots ``first`` on into clusters, one after the other.

        ``hashed`` [S, t, w] are their keys. Return the slots of the tokens that opened the
        clusters, [S, t].
        """
        p, tokens = self.params, hashed.shape[1]
        order = self._order(first, first + tokens - 1)
        slots = []
        for t in range(tokens):
            own = first + t
            if p.cluster_bits == "mean":
                order[:, t : t + 1] = self._order(own, own)
            # Without a cluster to join the least is NONE + own: it opens one in its own slot.
            best = order[:, t].masked_fill(self._room == 0, NONE + own).amin(1)
            opens, slot = best >= NONE, (best % FAR)[:, None]
            self._room.scatter_add_(1, slot, opens[:, None] * p.cluster_cap - 1)
            if p.cluster_bits == "mean":
                self._rehash(slot, opens, hashed[:, t])
            slots.append(slot)
        return torch.cat(slots, 1)

    def _rehash(self, slot: Tensor, opens: Tensor, hashed: Tensor) -> None:
        """Give the clusters that were joined the bits of their mean hashed key."""
        of_sum = slot[:, :, None].expand(-1, 1, hashed.shape[1])
        added = hashed.masked_fill(opens[:, None], 0.0)
        self._hash_sums.scatter_add_(1, of_sum, added[:, None])
        size = self.params.cluster_cap - self._room.gather(1, slot)
        bits = self._signs(self._hash_sums.gather(1, of_sum)[:, 0] / size)
        of_bits = slot[:, :, None].expand(-1, 1, bits.shape[1])
        self._bits.scatter_(1, of_bits, bits[:, None])

    def _count(self, window: int, slot: Tensor, keys: Tensor, sinks: int) -> Tensor:
        """Add a frame's keys to the clusters that slots ``slot`` [S, T] opened.

        The frame's own slots begin at ``window``. Return the clusters' numbers, [S, T]; -1: a sink.
        """
        opened = slot == torch.arange(window, window + slot.shape[1], device=slot.device)
        opened[:, :sinks] = False
        self._number[:, window:] = self.clusters[:, None] + opened.cumsum(1) - 1
        self.clusters = self.clusters + opened.sum(1)
        number = self._number.gather(1, slot)
        members = torch.ones_like(number)
        members[:, :sinks], number[:, :sinks] = 0, 0
        self.counts.scatter_add_(1, number, members)
        squares = keys.square().sum(2) if self.spreads else None
        for t in range(sinks, slot.shape[1]):  # One by one: float32 sums in the order of arrival.
            chosen = number[:, t : t + 1]
            self.sums.scatter_add_(1, chosen[:, :, None].expand_as(keys[:, :1]), keys[:, t : t + 1])
            if squares is not None:
                self.squares.scatter_add_(1, chosen, squares[:, t : t + 1])
        number[:, :sinks] = -1
        return number

    def _make_room(self, tokens: int) -> None:
        """Have room for a frame that opens ``tokens`` clusters; look at the device rarely."""
        self._most += tokens
        if self._most <= self.counts.shape[1]:
            return
        self._most = int(self.clusters.amax()) + tokens
        if self._most > self.counts.shape[1]:
            more = max(self.counts.shape[1], tokens)
            self.counts = torch.nn.functional.pad(self.counts, (0, more))
            if self.spreads:
                self.squares = torch.nn.functional.pad(self.squares, (0, more))
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

    def variances(self, clusters: int) -> Tensor:
        """Return the variance of the first clusters' keys, the mean over dimensions, [S, clusters].

        0 for a cluster of one token, and past a table's own clusters.
        """
        counts = self.counts[:, :clusters].clamp(min=1)
        means = self.sums[:, :clusters] / counts[:, :, None]
        spread = self.squares[:, :clusters] / counts - means.square().sum(2)
        return spread.clamp(min=0) / self.sums.shape[2]
