"""InfiniGen: partial scores from the few columns of a rotated query that matter most."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vrex_eval.method import Step
from vrex_eval.methods.attention import rows
from vrex_eval.methods.selecting import Choice, Selecting, SelectingCache, require, windows


@dataclass(frozen=True, kw_only=True)
class InfiniGen(Selecting):
    """All tokens whose partial score is near the maximum, as many for every head.

    Queries come from the previous layer's input where it is given. The rotation comes from an SVD
    of the stream's first queries, one for each KV head (so that its heads share partial keys);
    columns are taken anew in every step, by their summed magnitude. The count n is the mean over
    heads of the tokens within ``alpha`` of some row's maximum; every head reads its best n. The
    original picks while it decodes (``stage`` text); InfiniGenP is the same at frames too.
    """

    budget: float = 0.2
    """Most of the past that is picked, a share from 0 to 1."""
    stage: str = "text"
    alpha: float = 4.0
    """How far below a row's maximum a score may lie."""
    columns: float = 0.3
    """Share of the head dimension in partial scores."""
    calibration: int = 128
    """Tokens whose queries make the rotation; until then everything is attended."""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self.require_budgets(high=1)
        require(self.name, "columns", self.columns, low=0, high=1)
        require(self.name, "alpha", self.alpha, low=0)
        require(self.name, "calibration", self.calibration, whole=True, low=1)

    def layer(self, index: int, layers: int) -> "InfiniGenCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return InfiniGenCache(self)


class InfiniGenCache(SelectingCache):
    """Reads the tokens of highest partial score."""

    method: InfiniGen

    def __init__(self, method: InfiniGen) -> None:
        """Start empty."""
        super().__init__(method)
        self._seen = 0
        self._gram: Tensor | None = None
        self._rotation: Tensor | None = None

    def note(self, step: Step) -> None:
        """Gather the first queries; their right singular vectors are the rotation."""
        if self._rotation is not None:
            return
        q = rows(step.q, step.k.shape[2]).float()
        gram = q.mT @ q
        self._gram = gram if self._gram is None else self._gram + gram
        self._seen += step.q.shape[1]
        if self._seen >= self.method.calibration:
            self._rotation = torch.linalg.eigh(self._gram).eigenvectors

    def choose(self, step: Step, past: int) -> Choice | None:
        """Score all tokens by the partial keys."""
        if self._rotation is None:
            return None
        scores, columns = self._partial(step, past, self._rotation)
        always = windows(self.method, past, step.k.device)
        near = (scores >= -self.method.alpha).sum(-1).float().mean(-1)
        count = near.round().clamp(1, max(1, int(self.method.budget_at(step.stage) * past)))
        rank = scores.argsort(-1, descending=True).argsort(-1)
        selected = rank < count[:, None, None]
        d = step.q.shape[-1]
        return Choice(selected=selected, always=always, overhead=past * columns / (2 * d))

    def _partial(self, step: Step, past: int, rotation: Tensor) -> tuple[Tensor, int]:
        """Return the best of the rows' scores less their maxima, [B, Hkv, past], and the columns.

        ``rotation`` is [B, Hkv, d, d].
        """
        given = step.q if step.q_previous is None else step.q_previous
        q = rows(given, step.k.shape[2]).float() @ rotation
        d = q.shape[-1]
        columns = max(1, round(self.method.columns * d))
        kept = q.abs().sum(2).topk(columns, -1).indices
        of_q = q.gather(3, kept[:, :, None].expand(-1, -1, q.shape[2], -1))
        basis = rotation.gather(3, kept[:, :, None].expand(-1, -1, d, -1))
        keys = self.store.keys(past).float() @ basis
        scores = of_q @ keys.mT / math.sqrt(d)
        return (scores - scores.amax(-1, keepdim=True)).amax(2), columns
