"""The tables of an evaluation, as Markdown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from vrex_eval.ablation import ABLATION
from vrex_eval.benchmark import Benchmark
from vrex_eval.methods import METHODS
from vrex_eval.paper import COLUMNS, KINDS, TABLE_II

FAR = 512
"""Tokens: a question is far if its evidence lies further back."""

Row = list[str]
Details = list[dict[str, Any]]


def write(
    cells: list[dict[str, Any]], details: Details, hashes: dict[str, Any], benchmark: Benchmark
) -> str:
    """Return all tables: accuracy, retrieval, Table II's layout, far and near, ablation, hashes."""
    parts = ["# Results\n", NOTE]
    for context in sorted({d["context"] for d in details}):
        own = [d for d in details if d["context"] == context]
        parts += [
            f"\n## {context} tokens of context\n",
            _accuracy(own, benchmark),
            "\n### What is found\n",
            _found(own),
            f"\n### Evidence nearer and farther than {FAR} tokens, accuracy in %\n",
            _reach(own, benchmark),
            "\n### In the layout of the paper's Table II\n",
            _table_two(own),
            _ablation(own, benchmark),
        ]
    if hashes:
        parts += ["\n## Hamming distance against cosine, Pearson's r\n", _hashes(hashes)]
    return "\n".join(parts) + "\n"


NOTE = (
    "Per cent. *frame* and *text*: bytes of the past that a step reads, what is always attended\n"
    "included; *+ to select*: with representatives or partial keys too. Means over model seeds.\n"
    "*Loss*: full attention's mean less this one, on the same seeds.\n"
    "*Hidden error*: distance of the final hidden state from full attention's, relative.\n"
)


def _accuracy(details: Details, benchmark: Benchmark) -> str:
    head = ["method", "budget", *benchmark.kinds, "mean", "loss", "frame", "text", "+ to select"]
    head += ["seeds", "questions"]
    full = {d["seed"]: d for d in details if d["method"] == "full"}
    rows = []
    for label, own in by_method(details):
        scores = [_accuracy_of(own, kind) for kind in benchmark.kinds]
        same = [full[d["seed"]] for d in own if d["seed"] in full]
        of_full = _mean(_accuracy_of(same, kind) for kind in benchmark.kinds)
        found = _mean(scores)
        # On the same seeds and as many questions, or there is nothing to tell.
        fair = len(same) == len(own) and _asked(same) == _asked(own)
        lost = of_full - found if fair and of_full is not None and found is not None else None
        rows.append(
            [
                *label,
                *map(_percent, scores),
                _percent(found),
                _percent(lost, 2),
                _percent(mean(own, "frame", "read")),
                _percent(mean(own, "text", "read")),
                f"{_percent(mean(own, 'frame', 'bytes'))} / {_percent(mean(own, 'text', 'bytes'))}",
                str(len(own)),
                str(_asked(own)),
            ]
        )
    return table(head, rows)


def _asked(details: Details) -> int:
    """Return how many questions were asked, over all kinds and seeds."""
    return sum(kind["n"] for d in details for kind in d["questions"].values())


def _found(details: Details) -> str:
    head = ["method", "budget", "hidden error"]
    for stage in ("frame", "text"):
        head += [f"{stage}: mass", "p10", "output error"]
    rows = []
    for label, own in by_method(details):
        row = [*label, _percent(mean(own, "hidden_error"), 2)]
        for stage in ("frame", "text"):
            row += [_percent(mean(own, stage, name)) for name in ("mass_mean", "mass_p10")]
            row.append(_percent(mean(own, stage, "output_error"), 2))
        kls = [mean([d], "questions", kind, "logit_kl") for d in own for kind in d["questions"]]
        rows.append([*row, _number([kl for kl in kls if kl is not None])])
    return table([*head, "logit KL"], rows)


def _reach(details: Details, benchmark: Benchmark) -> str:
    head = ["method", "budget"]
    head += [f"{kind} {side}" for kind in benchmark.kinds for side in ("near", "far")]
    rows = []
    for label, own in by_method(details):
        row = list(label)
        for kind in benchmark.kinds:
            for side in ("near", "far"):
                some = [d for d in own if _count(d, kind, side)]
                row.append(_percent(mean(some, "questions", kind, side, "accuracy")))
        rows.append(row)
    return table(head, rows)


def _count(detail: dict[str, Any], kind: str, side: str) -> int:
    own = detail["questions"].get(kind)
    return int(own[side]["n"]) if own else 0


def _table_two(details: Details) -> str:
    """Ours, and in brackets the paper's, on COIN: another data set, not to be compared by value."""
    head = ["method", *COLUMNS, "retrieved, frame", "retrieved, text"]
    rows = []
    for (name, budget), own in by_method(details):
        paper = TABLE_II.get(name)
        scores = [_percent(_accuracy_of(own, kind)) for kind in KINDS]
        read = [_percent(mean(own, stage, "read")) for stage in ("frame", "text")]
        if paper is not None:
            theirs = [f"({figure})" for part in paper for figure in part]
            both = zip([*scores, *read], theirs, strict=True)
            scores_and_read = [f"{mine} {figure}" for mine, figure in both]
        elif name in METHODS:
            scores_and_read = [*scores, *read]
        else:
            continue
        rows.append([f"{name} {budget}", *scores_and_read])
    note = "\n\nIn brackets: the paper's, on COIN with VideoLLM-Online. **Another data set.**\n"
    return table(head, rows) + note


def _ablation(details: Details, benchmark: Benchmark) -> str:
    of_method = defaultdict(list)
    for d in details:
        of_method[d["method"]].append(d)
    if not all(spec in of_method for spec in list(ABLATION.values())[:4]):
        return ""
    head = ["step", "budget", "mean accuracy", "old memory", "hidden error", "frame", "text"]
    rows = []
    for name, spec in ABLATION.items():
        for (_, budget), own in by_method(of_method[spec]):
            scores = {kind: _accuracy_of(own, kind) for kind in benchmark.kinds}
            old = {kind: _accuracy_of(own, kind) for kind in benchmark.old_kinds}
            rows.append(
                [
                    name,
                    budget,
                    *(_percent(_mean(s.values())) for s in (scores, old)),
                    _percent(mean(own, "hidden_error"), 2),
                    _percent(mean(own, "frame", "read")),
                    _percent(mean(own, "text", "read")),
                ]
            )
    return "\n### Ablation\n\n" + table(head, rows)


def _hashes(hashes: dict[str, Any]) -> str:
    head = ["model", "keys", "layer", "heads"]
    rows = []
    for model, figures in hashes.items():
        of_layer = defaultdict(list)
        for one in figures:
            of_layer[one["keys"], one["layer"]].append(f"{one['correlation']:.2f}")
        for (keys, layer), values in sorted(of_layer.items()):
            rows.append([model, keys, str(layer), " ".join(values)])
    return table(head, rows)


def by_method(details: Details) -> list[tuple[tuple[str, str], Details]]:
    """Group by method and budget, in the registry's order; a group has an entry for each seed."""
    groups: dict[tuple[str, float], Details] = defaultdict(list)
    for d in details:
        groups[d["method"], d["budget"]].append(d)
    order = list(METHODS)
    ranked = sorted(groups, key=lambda g: (order.index(g[0].partition(":")[0]), g))
    return [((name, f"{budget:g}"), groups[name, budget]) for name, budget in ranked]


def mean(details: Details, *path: str) -> float | None:
    """Return the mean over entries of a figure, by the names that lead to it; None: nowhere."""
    found = []
    for d in details:
        value: Any = d
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            found.append(value)
    return _mean(found)


def _accuracy_of(details: Details, kind: str) -> float | None:
    return mean(details, "questions", kind, "accuracy")


def _mean(values: Iterable[float | None]) -> float | None:
    present = [v for v in values if v is not None]
    return sum(present) / len(present) if present else None


def _percent(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{100 * value:.{digits}f}"


def _number(values: Sequence[float]) -> str:
    found = _mean(values)
    return "" if found is None else f"{found:.4f}"


def table(head: Row, rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
