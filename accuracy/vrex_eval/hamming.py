"""How well Hamming distance stands for similarity (the paper's Fig. 7), on the model's own keys."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resv_ref.trace import draw_hyperplanes
from vrex_eval.method import Attended, LayerCache, Step
from vrex_eval.methods.full import Full

SHOWN = 400
"""Pairs of a layer that are kept to be drawn."""


def compare(keys: Tensor, planes: int, reach: int, pairs: int = 20_000) -> dict[str, Any]:
    """Compare keys that are at most ``reach`` tokens apart, as clustering does.

    ``keys`` [N, d] of one head. Returns Pearson's ``correlation`` of Hamming distance and cosine
    over ``pairs`` pairs, drawn with a fixed seed, and some of them under ``shown``.
    """
    generator = torch.Generator().manual_seed(0)
    late = torch.randint(1, len(keys), (pairs,), generator=generator)
    back = torch.randint(1, reach + 1, (pairs,), generator=generator)
    early = (late - back).clamp(min=0)
    keys = keys.float().cpu()
    bits = (keys @ draw_hyperplanes(planes, keys.shape[1]).float().T > 0).float()
    distance = (bits[late] != bits[early]).sum(1).float()
    cosine = torch.cosine_similarity(keys[late], keys[early], dim=1)
    correlation = torch.corrcoef(torch.stack([distance, cosine]))[0, 1]
    shown = torch.stack([distance, cosine], 1)[:SHOWN].tolist()
    return {"correlation": float(correlation), "shown": shown}


@dataclass(frozen=True, kw_only=True)
class KeepKeys(Full):
    """Full attention that also keeps the first stream's keys, before and after RoPE."""

    keys: dict[int, list[tuple[Tensor, Tensor]]]
    """For each layer [T, Hkv, d] twice a step: before, after."""

    def layer(self, index: int, layers: int) -> LayerCache:  # type: ignore[override]
        """Return an empty cache for layer ``index`` of ``layers``."""
        return Kept(super().layer(index, layers), self.keys.setdefault(index, []))


class Kept:
    """A cache whose keys are copied aside."""

    def __init__(self, inner: LayerCache, keys: list[tuple[Tensor, Tensor]]) -> None:
        """Keep what ``inner`` is given in ``keys``."""
        self._inner, self._keys = inner, keys

    def attend(self, step: Step) -> Attended:
        """Keep the keys, attend."""
        self._keys.append((step.k_plain[0], step.k[0]))
        return self._inner.attend(step)

    def fork(self) -> "Kept":
        """Return a copy whose keys are not kept."""
        return Kept(self._inner.fork(), [])
