"""ReSV, batched over streams and heads: the float reference's definition, in every mode."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resv_ref import numerics, wicsum
from vrex import MODES, Params, UserError
from vrex_eval.method import LayerCache, Stage, Step
from vrex_eval.methods import oaken
from vrex_eval.methods.attention import Stand, by_head, rows
from vrex_eval.methods.clusters import ClusterTables
from vrex_eval.methods.selecting import Choice, Selecting, SelectingCache

SELECTING = ("wicsum_ratio", "score_map", "score_temperature", "query")
"""What may differ at the text stage beside floor and cap: clusters do not depend on it."""


@dataclass(frozen=True, kw_only=True)
class ReSV(Selecting):
    """Clusters of similar keys, chosen by WiCSum; :mod:`resv_ref` has the definition.

    Sinks and the recent window are those of ``params``: ``sinks`` and ``recent`` follow them.
    Attention itself is in the model's own precision; keys, scores and means are BF16 and float32
    as in the float reference.
    """

    params: Params = field(default_factory=lambda: MODES["recommended"])
    """ReSV's own parameters."""
    budget: float | None = None
    """``wicsum_ratio``; None: as ``params`` has it."""
    moment: float = 0.0
    """How much of a cluster's spread its score gets: with 1, half the variance that a normal
    spread of its keys gives the logits, one number a cluster. Ours, not the paper's."""
    head_spread: float = 0.0
    """Standard deviation to which each query head's scores are brought, over a step's tokens and
    clusters, by a temperature of its own: the nearest power of two that ``score_temperature`` can
    be. 0: one temperature for all. Ours, a study of what a temperature per head would bring."""
    kv_bits: int = 16
    """16, or 4: keys and values are stored and read as :mod:`~vrex_eval.methods.oaken` has them;
    clusters are made of the keys before. Ours: the two save different things."""
    text_changes: tuple[tuple[str, object], ...] = ()
    """What of :data:`SELECTING` differs at the text stage: names and values."""

    def __post_init__(self) -> None:
        """Let budgets and params agree."""
        if self.budget is not None:
            changed = self.params.replace(wicsum_ratio=self.budget)
            object.__setattr__(self, "params", changed)
        if self.text_budget is not None:
            changes = (*self.text_changes, ("wicsum_ratio", self.text_budget))
            object.__setattr__(self, "text_changes", changes)
        self.params_at(Stage.TEXT)
        if self.params.estimate and self.moment:
            raise UserError(f"method {self.name}: estimate works without moment: leave one out")
        if self.kv_bits not in (4, 16):
            raise UserError(f"method {self.name}: kv_bits is {self.kv_bits!r}: it must be 4 or 16")
        for name in ("moment", "head_spread"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise UserError(
                    f"method {self.name}: {name} is {value!r}: it must be a number from 0 on"
                )
        object.__setattr__(self, "budget", self.params.wicsum_ratio)
        object.__setattr__(self, "sinks", self.params.n_sinks)
        object.__setattr__(self, "recent", self.params.recent_window)
        super().__post_init__()

    def params_at(self, stage: Stage) -> Params:
        """Return the parameters by which a stage selects; clusters are those of ``params``."""
        params = self.params.at(text=stage is Stage.TEXT)
        return params if stage is Stage.FRAME else params.replace(**dict(self.text_changes))

    @property
    def representative(self) -> float:
        """What of a cluster is read to select, in tokens' worth of K and V: its mean key, and its
        mean value where it may stand for its tokens."""
        return 1.0 if self.params.estimate else 0.5

    def layer(self, index: int, layers: int) -> LayerCache:
        """Return an empty cache for layer ``index`` of ``layers``."""
        return ReSVCache(self)


@dataclass(frozen=True, kw_only=True)
class TopKClusters(ReSV):
    """ReSV's clusters with a fixed number for each row: no threshold."""

    budget: float | None = 4
    """Clusters that a row picks, a whole number from 1 on."""

    def __post_init__(self) -> None:
        """Make floor and cap the budget."""
        count, text = self.budget, self.text_budget
        fixed = self._fixed(count, "") | self._fixed(count if text is None else text, "text_")
        object.__setattr__(self, "params", self.params.replace(**fixed))
        object.__setattr__(self, "budget", None)
        object.__setattr__(self, "text_budget", None)
        super().__post_init__()
        object.__setattr__(self, "budget", count)
        object.__setattr__(self, "text_budget", text)

    def _fixed(self, count: float | None, stage: str) -> dict[str, object]:
        if count is None or count != int(count):
            raise UserError(f"method {self.name}: budget is {count!r}: it must be a whole number")
        return {f"{stage}k_min": int(count), f"{stage}k_max": int(count)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What scoring and thresholding made of a step's rows; C: the most clusters of any head."""

    weights: Tensor
    """[B, Hkv, R, C] float32."""
    selected: Tensor
    """[B, Hkv, R, C] bool."""
    scored: Tensor
    """[B, Hkv] int64: clusters of each head that were scored."""


class ReSVCache(SelectingCache):
    """Reads sinks, open clusters and the selected sealed ones."""

    method: ReSV

    def __init__(self, method: ReSV) -> None:
        """Start empty."""
        super().__init__(method)
        self.tables = ClusterTables(method.params, spreads=method.moment != 0)
        self.last: Rows | None = None
        """Of the last step that chose, for tests and figures."""

    def stored(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values as the cache holds them."""
        if self.method.kv_bits == 16:
            return k, v
        outliers = round(oaken.OUTLIERS * k.shape[-1])
        self.token_cost = oaken.cost(k.shape[-1], outliers)
        return oaken.quantise(k, outliers), oaken.quantise(v, outliers)

    def note(self, step: Step) -> None:
        """Cluster the new keys."""
        hashed = step.k_plain if self.method.params.hash_keys == "pre_rope" else step.k
        keys = self._tabled(step.k)
        if self.method.params.estimate:
            keys = torch.cat([keys, self._tabled(step.v)], -1)
        self.tables.add(keys, self._tabled(hashed))

    def _tabled(self, keys: Tensor) -> Tensor:
        """Return keys [B, T, Hkv, d] as the tables' [S, T, w], float32 of BF16's values."""
        keys = keys.bfloat16().float()
        if self.method.params.cluster_scope == "per_layer":
            return keys.flatten(2)
        return by_head(keys).flatten(0, 1)

    def choose(self, step: Step, past: int) -> Choice:
        """Score the sealed clusters, threshold every row, unite a KV head's rows."""
        batch, heads = step.k.shape[0], step.k.shape[2]
        cluster_of = self._of_heads(self.tables.cluster_of.first(past), batch, heads)
        scored = self.tables.sealed if self.method.params.attend_recent else self.tables.clusters
        scored = self._of_heads(scored, batch, heads)
        always = (cluster_of < 0) | (cluster_of >= scored[:, :, None])
        most = int(scored.amax())
        self.last = self._threshold(step, scored, most)
        chosen = self.last.selected.any(2)
        # A column of False for tokens that are in no scored cluster.
        chosen = torch.nn.functional.pad(chosen, (0, 1))
        selected = chosen.gather(2, torch.where(always, most, cluster_of))
        overhead = scored * self.method.representative
        if not self.method.params.estimate:
            return Choice(selected=selected, always=always, overhead=overhead)
        stand = self._stand(self.last.selected.any(2), scored, batch, heads)
        return Choice(selected=selected, always=always, overhead=overhead, stand=stand)

    def _stand(self, chosen: Tensor, scored: Tensor, batch: int, heads: int) -> Stand:
        """Return the means of the scored clusters that are not ``chosen`` [B, Hkv, C]."""
        most = chosen.shape[2]
        live = torch.arange(most, device=chosen.device) < scored[:, :, None]
        counts = self._of_heads(self.tables.counts[:, :most], batch, heads)
        k, v = self._of_heads(self.tables.means(most), batch, heads).chunk(2, -1)
        return Stand(
            k=k,
            v=v,
            tokens=counts * (live & ~chosen),
        )

    def _width(self, step: Step) -> int:
        """Return the width of a table's keys."""
        heads = step.k.shape[2] if self.method.params.cluster_scope == "per_layer" else 1
        return heads * step.k.shape[3]

    def _of_heads(self, x: Tensor, batch: int, heads: int) -> Tensor:
        """Return what each KV head's table has, [S, ...] to [B, Hkv, ...]."""
        return x.unflatten(0, (batch, -1)).expand(batch, heads, *x.shape[1:])

    def _threshold(self, step: Step, scored: Tensor, most: int) -> Rows:
        params, d = self.method.params_at(step.stage), step.k.shape[-1]
        batch, heads = scored.shape
        q = rows(queries(step, params).bfloat16().float(), heads)
        means = self.tables.means(most)[..., : self._width(step)]
        means = means.unflatten(2, (-1, d)).transpose(1, 2)
        if params.cluster_scope == "per_head":
            means = means.flatten(0, 1).unflatten(0, (batch, heads))
        scores = q @ means.mT / math.sqrt(d)
        if self.method.moment:
            spread = self._of_heads(self.tables.variances(most), batch, heads)[:, :, None]
            norms = q.square().sum(-1, keepdim=True) / d
            scores = scores + self.method.moment / 2 * norms * spread
        live = torch.arange(most, device=q.device) < scored[:, :, None]
        every = live[:, :, None].expand(scores.shape)
        if self.method.head_spread:
            scores = scores / self._temperatures(scores, every, step.q.shape[1])
        # NaN has weight 0 and takes no part in a row's maximum: what a cluster that is not there
        # should do. Below every weight, it comes last, and its count is 0.
        weights = numerics.weights_float(scores.masked_fill(~every, math.nan), params)
        counts = self._of_heads(self.tables.counts[:, :most], batch, heads) * live
        ranked = weights.masked_fill(~every, torch.finfo(torch.float32).min).flatten(0, 2)
        of_rows = counts[:, :, None].expand(scores.shape).flatten(0, 2)
        selected = wicsum.select(ranked, of_rows, params).reshape(scores.shape) & every
        return Rows(weights=weights, selected=selected, scored=scored)

    def _temperatures(self, scores: Tensor, every: Tensor, tokens: int) -> Tensor:
        """Return each row's temperature, [B, Hkv, R, 1]: that of its query head."""
        of_heads = [x.unflatten(2, (-1, tokens)) for x in (scores, every)]
        there = of_heads[1].sum((3, 4), keepdim=True).clamp(min=1)
        mean = of_heads[0].masked_fill(~of_heads[1], 0).sum((3, 4), keepdim=True) / there
        squares = (of_heads[0] - mean).masked_fill(~of_heads[1], 0).square()
        deviation = (squares.sum((3, 4), keepdim=True) / there).sqrt()
        exponent = (deviation / self.method.head_spread).log2().round().clamp(-4, 4)
        exponent = exponent.where(deviation > 0, 0)
        return exponent.exp2().expand(-1, -1, -1, tokens, -1).flatten(2, 3)


def queries(step: Step, params: Params) -> Tensor:
    """Return the queries that score, [B, T, Hq, d]; layer 0 has its own alone."""
    if params.query == "same_layer" or step.q_previous is None:
        return step.q
    return step.q_previous
