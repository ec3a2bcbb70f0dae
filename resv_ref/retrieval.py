"""ReSV for one layer of a stream: keys and queries in, frame by frame; tokens to fetch out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from resv_ref import scoring, stand_ins, wicsum
from resv_ref.attention import light_attention, softmax_attention
from resv_ref.cache import KVCache
from resv_ref.clustering import HCTable
from resv_ref.hashing import hash_bits
from resv_ref.numerics import BEAT, WINDOW, check_sizes
from resv_ref.trace import draw_hyperplanes
from vrex import Params, UserError

ENGINES = ("float", "exact")


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """What one frame of T tokens retrieves and attends.

    C: the most clusters scored in any KV head.
    """

    hash_bits: Tensor
    """[T, Hkv] int64, bit m = hyperplane m."""
    cluster: Tensor
    """[T, Hkv] int32: where each token of this frame went; -1 for a sink."""
    weights: Tensor
    """[Hq, T, C] int32 (exact) or float32 (float); 0 past the clusters scored."""
    counts: Tensor
    """[Hkv, C] int32: tokens of each cluster scored."""
    row_selected: Tensor
    """[Hq, T, C] bool: clusters each row (a query token of one head) selects."""
    selected: Tensor
    """[Hkv, C] bool: union over the rows of the query heads that share the KV head."""
    sealed: Tensor
    """[Hkv] int32: clusters sealed when the frame was scored."""
    tokens: list[Tensor]
    """For each KV head the stream indices of the selected clusters' tokens, [n] int64:
    clusters ascending, members in arrival order."""
    resident: list[Tensor]
    """For each KV head the earlier tokens attended without being selected, [n] int64: sinks,
    then the open clusters ascending (left out where they are scored)."""
    stand: list[Tensor]
    """For each KV head the clusters whose means stand for their tokens, [n] int64, ascending:
    those scored and not ``selected`` where ``estimate`` is set, else none."""
    attention: Tensor | None
    """[T, Hq, d] bfloat16: attention over the sinks, the means of ``stand``, ``tokens``, the open
    clusters and, causally, the frame itself; None where v was left out."""


class ReSV:
    """Streaming retrieval for one layer; the HC tables are kept from frame to frame.

    ``hyperplanes`` [N_hp, d] bfloat16 ([N_hp, Hkv * d] where ``cluster_scope`` is per_layer);
    left out, they are those of :func:`resv_ref.trace.draw_hyperplanes`. ``engine`` is ``exact``,
    which agrees with the hardware in every bit, or ``float``, which follows the definition in
    fp32 and knows every option. ``beat`` and ``window`` are those of the hardware's aligned sum
    (:func:`~resv_ref.numerics.dot`), ``lxe.side`` and ``lxe.window`` of its configuration; a beat
    is also the tokens of an attention tile. Only the exact engine depends on them.

    Raises :class:`~vrex.UserError` for an unknown engine, and for what the exact one does not do,
    :class:`ValueError` for a beat or window out of bounds.
    """

    def __init__(
        self,
        params: Params | None = None,
        hyperplanes: Tensor | None = None,
        engine: str = "exact",
        *,
        beat: int = BEAT,
        window: int = WINDOW,
    ) -> None:
        """Start a stream with no tokens."""
        if engine not in ENGINES:
            raise UserError(f"unknown engine {engine!r}: known are {', '.join(ENGINES)}")
        self.params = params or Params()
        self.engine = engine
        self._exact = engine == "exact"
        if self._exact:
            self.params.require_exact()
        check_sizes(beat, window)
        self._sizes: dict[str, Any] = {"beat": beat, "window": window}
        self.hyperplanes = hyperplanes
        self.tables: list[HCTable] = []
        """One a KV head, or a single one where ``cluster_scope`` is per_layer."""
        self.stored = 0
        """Tokens of the stream so far, sinks included."""
        self._heads: tuple[int, int, int] | None = None
        self._cache: KVCache | None = None

    def step(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor | None = None,
        k_hash: Tensor | None = None,
        q_retrieve: Tensor | None = None,
        *,
        text: bool = False,
    ) -> Selection:
        """Score the clusters with one frame's queries, store its keys, and attend.

        ``q`` [T, Hq, d], ``k`` [T, Hkv, d] bfloat16 after RoPE, T >= 1, Hkv a divisor of Hq;
        other dtypes are rounded to bfloat16, and what lies on another device is copied. ``v``
        has the shape of ``k`` and is needed for attention alone: it is given in every frame, or
        attention ends with the first one that lacks it; where ``estimate`` is set it is needed in
        every frame. ``k_hash``, as ``k`` but before RoPE, is needed where ``hash_keys`` is
        pre_rope; ``q_retrieve``, as ``q``, where ``query`` is previous_layer. ``text``: the tokens
        are those of a question or an answer, whose rows have a floor and a cap of their own
        (:meth:`~vrex.Params.at`).

        Attention takes ``q``, whatever the queries that score. Raises :class:`ValueError` for a
        tensor that is missing, in an earlier frame too, or has the wrong shape.
        """
        hashed = self._wanted("k_hash", k_hash) if self.params.hash_keys == "pre_rope" else k
        previous = self.params.query == "previous_layer"
        queries = self._wanted("q_retrieve", q_retrieve) if previous else q
        if self.params.estimate:
            self._wanted("v", v)
        _check_shapes(q, k, {"v": v, "k_hash": hashed, "q_retrieve": queries})
        if v is not None and self.stored and self._cache is None:
            raise ValueError("v is missing in an earlier frame: give it in every frame or in none")
        self._begin(q.shape[1], k.shape[1], q.shape[2])
        selection = self._retrieve(_bfloat16(queries), k.shape[1], self.params.at(text=text))
        before = self._before(selection["tokens"], selection["resident"])
        bits, cluster = self._store(_bfloat16(k), _bfloat16(hashed), v)
        attention = self._attend(_bfloat16(q), before, selection["stand"])
        return Selection(hash_bits=bits, cluster=cluster, attention=attention, **selection)

    def store(
        self, k: Tensor, v: Tensor | None = None, k_hash: Tensor | None = None, *, q_heads: int
    ) -> None:
        """Store one frame's keys (and values) without scoring or attending: a quick way to a long
        stream. Arguments and errors are those of :meth:`step`; ``q_heads`` is Hq.
        """
        hashed = self._wanted("k_hash", k_hash) if self.params.hash_keys == "pre_rope" else k
        if self.params.estimate:
            self._wanted("v", v)
        _check_shapes(k.repeat_interleave(q_heads // k.shape[1], 1), k, {"v": v, "k_hash": hashed})
        self._begin(q_heads, k.shape[1], k.shape[2])
        self._store(_bfloat16(k), _bfloat16(hashed), v)

    @property
    def cache(self) -> KVCache | None:
        """Keys and values of the stream; None before the first frame and where v was left out."""
        return self._cache

    def _wanted(self, name: str, tensor: Tensor | None) -> Tensor:
        if tensor is None:
            p = self.params
            raise ValueError(
                f"{name} is missing: hash_keys is {p.hash_keys}, query is {p.query}, estimate is "
                f"{p.estimate}"
            )
        return tensor

    def _begin(self, q_heads: int, kv_heads: int, d: int) -> None:
        """Make tables and planes when the first frame tells the sizes; later ones must agree."""
        heads = (q_heads, kv_heads, d)
        if self._heads is not None:
            if heads != self._heads:
                raise ValueError(f"(Hq, Hkv, d) was {self._heads} in earlier frames, now {heads}")
            return
        per_layer = self.params.cluster_scope == "per_layer"
        tables, width = (1, kv_heads * d) if per_layer else (kv_heads, d)
        planes = self.hyperplanes
        if planes is None:
            planes = draw_hyperplanes(self.params.n_hyperplanes, width)
        wanted = (self.params.n_hyperplanes, width)
        if planes.shape != wanted:
            raise ValueError(f"hyperplanes is {list(planes.shape)}, it must be {list(wanted)}")
        self.hyperplanes = _bfloat16(planes)
        rehash = self._bits_of_mean if self.params.cluster_bits == "mean" else None
        self.tables = [HCTable(self.params, width, rehash) for _ in range(tables)]
        self._heads, self._cache = heads, KVCache(kv_heads, d)

    def _bits_of_mean(self, mean: Tensor) -> int:
        return int(hash_bits(mean, self._planes(), exact=False))

    def _planes(self) -> Tensor:
        if self.hyperplanes is None:
            raise ValueError("there are no hyperplanes before the first step")
        return self.hyperplanes

    def _retrieve(self, queries: Tensor, kv_heads: int, params: Params) -> dict[str, Any]:
        """Score and threshold every row by ``params``, unite the rows of each KV head."""
        tokens, d = queries.shape[0], queries.shape[2]
        tables = [self.tables[head % len(self.tables)] for head in range(kv_heads)]
        scored = [t.sealed if params.attend_recent else len(t) for t in tables]
        weights, counts, row_selected = [], [], []
        for head, (table, clusters) in enumerate(zip(tables, scored, strict=True)):
            group = queries.unflatten(1, (kv_heads, -1))[:, head].transpose(0, 1)
            means = table.means(clusters).unflatten(1, (-1, d))
            own = means[:, head % means.shape[1]]
            rows = group.reshape(-1, d)
            of_rows = scoring.weights(rows, own, params, self._exact, **self._sizes)
            of_clusters = table.counts(clusters)
            chosen = wicsum.select(of_rows, of_clusters, params)
            weights.append(of_rows.unflatten(0, (-1, tokens)))
            counts.append(of_clusters[None])
            row_selected.append(chosen.unflatten(0, (-1, tokens)))
        of_all = _stack(row_selected)
        selected = of_all.unflatten(0, (kv_heads, -1)).any(2).any(1)
        return {
            "weights": _stack(weights).to(torch.int32 if self._exact else torch.float32),
            "counts": _stack(counts).int(),
            "row_selected": of_all,
            "selected": selected,
            "sealed": torch.tensor([t.sealed for t in tables], dtype=torch.int32),
            "tokens": [t.tokens(s.nonzero()[:, 0]) for t, s in zip(tables, selected, strict=True)],
            "resident": [self._resident(t, c) for t, c in zip(tables, scored, strict=True)],
            "stand": [self._stand(s[:c]) for s, c in zip(selected, scored, strict=True)],
        }

    def _stand(self, selected: Tensor) -> Tensor:
        """Return which of a head's scored clusters stand for their tokens: ``selected`` [C]."""
        return (~selected & self.params.estimate).nonzero()[:, 0]

    def _resident(self, table: HCTable, scored: int) -> Tensor:
        sinks = torch.arange(min(self.stored, self.params.n_sinks))
        return torch.cat([sinks, table.tokens(torch.arange(scored, len(table)))])

    def _before(self, selected: list[Tensor], resident: list[Tensor]) -> list[Tensor]:
        """Return for each KV head the earlier tokens that a frame attends, in their order."""
        sinks = min(self.stored, self.params.n_sinks)
        pairs = zip(resident, selected, strict=True)
        return [torch.cat([always[:sinks], some, always[sinks:]]) for always, some in pairs]

    def _attend(self, q: Tensor, before: list[Tensor], stand: list[Tensor]) -> Tensor | None:
        """Attend ``before``, the means of ``stand`` and the frame stored; return [T, Hq, d]."""
        if self._cache is None:
            return None
        tokens, kv_heads = len(q), len(before)
        frame = torch.arange(self.stored - tokens, self.stored)
        k, v = self._cache.gather([torch.cat([some, frame]) for some in before])
        counts = None
        if self.params.estimate:
            sinks = min(self.stored - tokens, self.params.n_sinks)
            k, v, counts = stand_ins.insert(k, v, self.tables, stand, sinks)
        # Row by row: the query heads of a KV head, and in each the frame's tokens.
        rows = q.unflatten(1, (kv_heads, -1)).permute(1, 2, 0, 3)
        own = torch.arange(1, tokens + 1).expand(rows.shape[:-1])
        earlier = [len(some) + len(means) for some, means in zip(before, stand, strict=True)]
        limits = torch.tensor(earlier)[:, None, None] + own
        given = rows.flatten(1, 2), k, v, limits.flatten(1), counts
        out = light_attention(*given, **self._sizes) if self._exact else softmax_attention(*given)
        return out.reshape(rows.shape).permute(2, 0, 1, 3).flatten(1, 2)

    def _store(self, k: Tensor, hashed: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """Hash and cluster a frame's keys; return hash bits and clusters, each [T, Hkv]."""
        tokens, kv_heads = k.shape[:2]
        keys = k.reshape(tokens, len(self.tables), -1)
        hashed = hashed.reshape(keys.shape)
        given = v if self.params.estimate else None
        values = None if given is None else _bfloat16(given).reshape(keys.shape)
        bits = hash_bits(hashed, self._planes(), self._exact, **self._sizes)
        cluster = torch.full((tokens, len(self.tables)), -1, dtype=torch.int32)
        for head, table in enumerate(self.tables):
            for t in range(max(0, self.params.n_sinks - self.stored), tokens):
                key, of_hash = keys[t, head].float(), hashed[t, head].float()
                value = None if values is None else values[t, head].float()
                token = self.stored + t
                cluster[t, head] = table.assign(token, int(bits[t, head]), key, of_hash, value)
            table.seal()
        if v is None:
            self._cache = None
        elif self._cache is not None:
            self._cache.append(k, _bfloat16(v))
        self.stored += tokens
        return bits.expand(tokens, kv_heads), cluster.expand(tokens, kv_heads)


def _check_shapes(q: Tensor, k: Tensor, others: dict[str, Tensor | None]) -> None:
    if q.ndim != 3 or k.ndim != 3 or 0 in q.shape or 0 in k.shape:
        raise ValueError("q must be [T, Hq, d] and k [T, Hkv, d], none of them 0")
    tokens, q_heads, d = q.shape
    if q_heads % k.shape[1]:
        raise ValueError(f"{k.shape[1]} KV heads do not divide {q_heads} query heads")
    for name, tensor in {"k": k, **others}.items():
        wanted = q.shape if name == "q_retrieve" else (tokens, k.shape[1], d)
        if tensor is not None and tensor.shape != wanted:
            raise ValueError(f"{name} is {list(tensor.shape)}, it must be {list(wanted)}")


def _bfloat16(x: Tensor) -> Tensor:
    """Return ``x`` as the engines take it, without its history of gradients."""
    return x.detach().to("cpu", torch.bfloat16)


def _stack(of_heads: list[Tensor]) -> Tensor:
    """Join the KV heads' tensors, each padded with zeros to the most clusters of any."""
    most = max(tensor.shape[-1] for tensor in of_heads)
    return torch.cat([pad(tensor, (0, most - tensor.shape[-1])) for tensor in of_heads])
