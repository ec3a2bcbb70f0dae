"""From sums to figures: the cells of ``results.json``, and what lies behind them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from vrex_eval.record import BINS, COUNTS
from vrex_eval.units import Key

Sums = dict[str, Any]
Group = tuple[str, float, int, int]
"""Method, budget, context, seed."""


def join(units: Iterable[tuple[Key, Sums]]) -> dict[Group, Sums]:
    """Add up the batches of every method, budget, context and seed."""
    groups: dict[Group, Sums] = {}
    for key, unit in units:
        group = (key.method, key.budget, key.context, key.seed)
        groups[group] = _plus(groups[group], unit) if group in groups else unit
    return groups


def _plus(a: Any, b: Any) -> Any:
    """Add two sums of the same make: numbers by value, lists element by element, answers by end."""
    if isinstance(a, dict):
        both = {name: _plus(a[name], b[name]) for name in a.keys() & b.keys() - {"answers"}}
        if "answers" in a:
            both["answers"] = a["answers"] + b["answers"]
        return {**a, **b, **both}
    if isinstance(a, list):
        return [_plus(x, y) for x, y in zip(a, b, strict=True)]
    return a + b


def cells(groups: dict[Group, Sums]) -> list[dict[str, Any]]:
    """Return the entries of ``results.json``.

    ``accuracy`` is the share of right answer tokens over ``n`` questions. ``fetched_frame`` and
    ``fetched_text`` are what was read of the past over all steps, as a share of its bytes, with
    what is always attended and without what was read to select (that is in the details).
    ``hidden_error`` is the mean distance of frames' final hidden states from full attention's,
    relative to their length.
    """
    made = []
    for (method, budget, context, seed), sums in groups.items():
        for question, own in sums["questions"].items():
            scores = [score for _, score, _ in own["answers"]]
            made.append(
                {
                    "method": method,
                    "question": question,
                    "context": context,
                    "budget": budget,
                    "accuracy": _mean(scores),
                    "fetched_frame": _share(sums["frame"], "read"),
                    "fetched_text": _ratio(own["read"], own["past"]),
                    "hidden_error": hidden_error(sums),
                    "seed": seed,
                    "n": len(scores),
                }
            )
    return made


def details(groups: dict[Group, Sums], far: int) -> list[dict[str, Any]]:
    """Return for each method, budget, context and seed everything else that was measured.

    Questions whose evidence lies more than ``far`` tokens back are told apart from the rest.
    """
    return [
        {
            **dict(zip(("method", "budget", "context", "seed"), group, strict=True)),
            "hidden_error": hidden_error(sums),
            "frame": _stage(sums["frame"]),
            "text": _stage(sums["text"]),
            "questions": {kind: _kind(own, far) for kind, own in sums["questions"].items()},
        }
        for group, sums in groups.items()
    ]


def hidden_error(sums: Sums) -> float:
    """Return the mean relative error of the frames' final hidden states."""
    return _ratio(sums["frame"]["hidden_error"], sums["frame"]["hidden_n"])


def _stage(sums: Sums) -> dict[str, Any]:
    """Shares of the past's bytes, per layer and head as well, and what the probe saw."""
    if "past" not in sums:
        return {}
    out: dict[str, Any] = {name: _share(sums, name) for name in COUNTS[:-1]}
    out["bytes"] = out["read"] + out["overhead"]
    past = _tensor(sums["past"]).clamp(min=1)
    out["per_layer_and_head"] = (_tensor(sums["read"]) / past).tolist()
    if "mass" in sums:
        out["mass_mean"] = _ratio(sums["mass_sum"][0], sum(sums["mass"]))
        out["mass_p10"] = _quantile(_tensor(sums["mass"]), 0.1)
        error, norm = _tensor(sums["error"]), _tensor(sums["norm"])
        out["output_error"] = float((error.sum() / norm.sum()).sqrt())
        out["output_error_of_layers"] = (error / norm).sqrt().tolist()
    return out


def _kind(own: Sums, far: int) -> dict[str, Any]:
    near: dict[bool, list[float]] = defaultdict(list)
    for distance, score, _ in own["answers"]:
        near[distance <= far].append(score)
    scores = near[True] + near[False]
    accuracy = _mean(scores)
    return {
        "accuracy": accuracy,
        "all_right": _mean([float(score == 1) for score in scores]),
        "n": len(scores),
        "standard_error": (accuracy * (1 - accuracy) / max(1, len(scores))) ** 0.5,
        "near": {"accuracy": _mean(near[True]), "n": len(near[True])},
        "far": {"accuracy": _mean(near[False]), "n": len(near[False])},
        "logit_kl": _mean([kl for _, _, kl in own["answers"]]),
        **{name: _ratio(own[name], own["past"]) for name in COUNTS[:-1]},
    }


def _quantile(histogram: Tensor, q: float) -> float:
    """Return the upper edge of the bin below which a share ``q`` of the rows lies."""
    reached = histogram.cumsum(0) >= q * histogram.sum()
    return (int(reached.long().argmax()) + 1) / BINS


def _share(sums: Sums, name: str) -> float:
    if "past" not in sums:
        return 0.0
    return _ratio(float(_tensor(sums[name]).sum()), float(_tensor(sums["past"]).sum()))


def _tensor(values: list[Any]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
