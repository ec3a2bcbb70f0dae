"""The plots of an evaluation, with matplotlib."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resv_ref import files
from vrex import UserError
from vrex_eval.benchmark import Benchmark
from vrex_eval.methods import METHODS, SLOW
from vrex_eval.tables import Details, by_method, mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = ("o-", "s-", "^-", "v-", "D-", "P-", "X-", "*-")
COLOURS = (
    *("tab:gray", "tab:gray", "tab:orange", "tab:pink", "tab:olive", "tab:blue", "tab:cyan"),
    *("tab:green", "yellowgreen", "darkgreen", "tab:purple", "silver", "darkgray"),
    *("tab:brown", "black", "tab:red"),
)
"""Of the methods, in their order; a method has one, whatever its settings."""


def draw(folder: Path, details: Details, hashes: dict[str, Any], benchmark: Benchmark) -> None:
    """Write every plot as PNG into ``folder``: accuracy, error, per layer and head, hashes."""
    folder.mkdir(exist_ok=True)
    for context in sorted({d["context"] for d in details}):
        own = [d for d in details if d["context"] == context]
        _save(_overview(own, benchmark), folder / f"overview-{context}.png")
        _save(_accuracy(own, benchmark), folder / f"accuracy-{context}.png")
        _save(_errors(own), folder / f"errors-{context}.png")
        for name in ("resv", "recommended"):
            some = [d for d in own if d["method"] == name]
            if some:
                _save(_heads(some[0]), folder / f"heads-{name}-{context}.png")
    for name, figures in hashes.items():
        _save(_hash(figures), folder / f"{name}.png")


def _figure(columns: int, rows: int = 1) -> tuple["Figure", list["Axes"]]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("the plots need matplotlib: pip install 'vrex[plots]'") from None
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def _save(figure: "Figure", path: Path) -> None:
    with files.whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)


Points = list[tuple[float, float]]


def _overview(details: Details, benchmark: Benchmark) -> "Figure":
    """Old memory and hidden error against bytes read; lines join the best settings of a method."""
    figure, axes = _figure(2)
    titles = (("old memory", "text", "accuracy, %"), ("hidden error", "frames", "%"))
    families = (_old_memory(details, benchmark), _hidden_errors(details))
    for axis, of_methods, sign, title in zip(axes, families, (1, -1), titles, strict=True):
        for name, points in of_methods.items():
            style: dict[str, Any] = {
                "color": _colour(name),
                "alpha": 0.5 if METHODS[name].oracle else 1.0,
            }
            axis.plot(*zip(*_frontier(points, sign), strict=True), "-", linewidth=1, **style)
            axis.plot(*zip(*points, strict=True), "o", label=name, markersize=4, **style)
        axis.set(title=title[0], xlabel=f"read at {title[1]}, % of the past", ylabel=title[2])
        axis.grid(alpha=0.3)
    axes[1].set_yscale("log")
    _legend(figure, axes[0])
    return figure


def _old_memory(details: Details, benchmark: Benchmark) -> dict[str, Points]:
    """Return each method's bytes at text and mean accuracy of old-memory questions, in per cent."""
    found: dict[str, Points] = defaultdict(list)
    for name, curve in _curves(details).items():
        for own in curve:
            read = [_bytes(own, kind) for kind in benchmark.old_kinds]
            right = [mean(own, "questions", kind, "accuracy") for kind in benchmark.old_kinds]
            xs, ys = ([100 * x for x in part if x is not None] for part in (read, right))
            if len(xs) == len(ys) == len(read):
                found[name.partition(":")[0]].append((sum(xs) / len(xs), sum(ys) / len(ys)))
    return found


def _hidden_errors(details: Details) -> dict[str, Points]:
    """Return each method's bytes at frames and hidden error, in per cent; where there is one."""
    found: dict[str, Points] = defaultdict(list)
    for name, curve in _curves(details).items():
        for own in curve:
            read, error = mean(own, "frame", "bytes"), mean(own, "hidden_error")
            if read is not None and error:
                found[name.partition(":")[0]].append((100 * read, 100 * error))
    return found


def _frontier(points: Points, sign: int) -> Points:
    """Return the points that no other beats at as few bytes; ``sign`` -1: less is better."""
    kept: Points = []
    for x, y in sorted(points):
        if not kept or sign * y > sign * kept[-1][1]:
            kept.append((x, y))
    return kept


def _accuracy(details: Details, benchmark: Benchmark) -> "Figure":
    """Accuracy of each question against the bytes read at the text stage, one curve a method."""
    kinds = benchmark.kinds
    figure, axes = _figure(4, -(-len(kinds) // 4))
    for kind, axis in zip(kinds, axes, strict=False):
        for number, (name, points) in enumerate(_curves(details).items()):
            line = [(_bytes(own, kind), mean(own, "questions", kind, "accuracy")) for own in points]
            _line(axis, line, name, number)
        axis.set(title=kind, xlabel="bytes read at text, % of the past", ylabel="accuracy, %")
        axis.set_xscale("symlog", linthresh=1)
    _legend(figure, axes[0])
    for axis in axes[len(kinds) :]:
        axis.set_axis_off()
    return figure


def _errors(details: Details) -> "Figure":
    """Hidden error, attention mass and output error against the bytes read at the frame stage."""
    wanted = [("hidden_error",), ("frame", "mass_mean"), ("frame", "mass_p10")]
    wanted.append(("frame", "output_error"))
    figure, axes = _figure(4)
    for path, axis in zip(wanted, axes, strict=True):
        for number, (name, points) in enumerate(_curves(details).items()):
            line = [(mean(own, "frame", "bytes"), mean(own, *path)) for own in points]
            _line(axis, line, name, number)
        title = " ".join(path).replace("_", " ")
        axis.set(title=title, xlabel="bytes read at frames, % of the past", ylabel="%")
        if "error" in path[-1]:
            axis.set_yscale("symlog", linthresh=0.1)
    _legend(figure, axes[0])
    return figure


def _legend(figure: "Figure", axis: "Axes") -> None:
    """Say below the plots which method is which; a name is as long as its settings."""
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7
    )


def _curves(details: Details) -> dict[str, list[Details]]:
    """Return each method's points, by ascending budget.

    A budget that is written as a setting is one of the same curve.
    """
    curves: dict[str, list[tuple[float, Details]]] = defaultdict(list)
    for (name, budget), own in by_method(details):
        head, _, rest = name.partition(":")
        if head in SLOW:  # On other streams than the rest, as a rule.
            continue
        settings = [text for text in rest.split(",") if text and "budget=" not in text]
        curves[":".join([head, ",".join(settings)]).rstrip(":")].append((float(budget), own))
    return {
        name: [own for _, own in sorted(points, key=lambda point: point[0])]
        for name, points in curves.items()
    }


def _bytes(details: Details, kind: str) -> float | None:
    read = mean(details, "questions", kind, "read")
    overhead = mean(details, "questions", kind, "overhead")
    return None if read is None or overhead is None else read + overhead


def _line(
    axis: "Axes", points: list[tuple[float | None, float | None]], name: str, number: int
) -> None:
    line = [(100 * x, 100 * y) for x, y in points if x is not None and y is not None]
    if line:
        style, base = STYLES[number % len(STYLES)], name.partition(":")[0]
        alpha = 0.5 if METHODS[base].oracle else 1
        xs, ys = zip(*line, strict=True)
        axis.plot(
            xs, ys, style, label=name, color=_colour(base), markersize=3, linewidth=1, alpha=alpha
        )


def _colour(method: str) -> str:
    return COLOURS[list(METHODS).index(method)]


def _heads(detail: dict[str, Any]) -> "Figure":
    """What each layer and head reads (compare the paper's Fig. 20)."""
    figure, axes = _figure(2)
    for stage, axis in zip(("frame", "text"), axes, strict=True):
        ratios = detail[stage].get("per_layer_and_head")
        if ratios is None:
            continue
        heads = len(ratios[0])
        for head in range(heads):
            places = [layer + head / (heads + 1) for layer in range(len(ratios))]
            axis.bar(places, [100 * of_layer[head] for of_layer in ratios], 1 / (heads + 1))
        axis.set(title=stage, xlabel="layer, KV heads side by side", ylabel="read, % of the past")
    return figure


def _hash(figures: list[dict[str, Any]]) -> "Figure":
    """Cosine against Hamming distance, all layers and heads (compare the paper's Fig. 7)."""
    figure, axes = _figure(2)
    for keys, axis in zip(("pre_rope", "post_rope"), axes, strict=True):
        own = [one for one in figures if one["keys"] == keys]
        for one in own:
            distance, cosine = zip(*one["shown"], strict=True)
            axis.plot(distance, cosine, ".", markersize=1)
        low, high = (f([one["correlation"] for one in own]) for f in (min, max))
        axis.set(title=f"{keys}: r = {low:.2f} to {high:.2f}", xlabel="Hamming distance")
        axis.set_ylabel("cosine")
    return figure
