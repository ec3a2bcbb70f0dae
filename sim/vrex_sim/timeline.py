"""A picture of a run: which unit worked when, in the whole of it and in its last jobs."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resv_ref import files
from vrex import UserError
from vrex_sim.activity import Activity
from vrex_sim.placement import Placement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ints = NDArray[np.int64]
GROUPS = {
    "DPE": (("attend", "attend"), ("score", "score"), ("hash", "hash"), ("at work", "dpe")),
    "units": (
        ("WTU", "wtu"),
        ("HCU", "hcu"),
        ("retriever", "retriever"),
        ("storer", "storer"),
        ("table", "table"),
    ),
    "memory": (("reads", "memory_in"), ("writes", "memory_out")),
    "link": (("fetch", "link_in"), ("offload", "link_out")),
}
"""Rows from the top: a label, and the unit that it shows."""
COLOURS = {
    **dict.fromkeys(("attend", "memory_in", "memory_out"), "#1f6f8b"),
    **dict.fromkeys(("score", "wtu"), "#d97b29"),
    **dict.fromkeys(("hash", "hcu"), "#8a5fb0"),
    **dict.fromkeys(("retriever", "link_in"), "#3d8f5f"),
    **dict.fromkeys(("storer", "link_out"), "#b04a4a"),
    "dpe": "#333333",
    "table": "#777777",
}
"""What belongs together has one colour: a command and the unit that it feeds, a unit and its way
over the link."""
ROWS = [
    (f"{group}: {label}" if group != "units" else label, unit)
    for group, rows in GROUPS.items()
    for label, unit in rows
]
FORMS = ("png", "svg", "pdf")
COLUMNS = 1500
"""Most columns: where there are more cycles, a column shows the share of its cycles."""
LAST = 6
"""Jobs of the lower part."""
MARKS = 40
"""Most ends of jobs, or of frames, that are marked in a part."""


def check(path: Path, keep: Path | None = None) -> None:
    """Raise :class:`~vrex.UserError` if :func:`draw` could not make ``path``.

    ``keep`` names a file that must not be written over.
    """
    if path.suffix[1:].lower() not in FORMS:
        raise UserError(f"{path}: a timeline is one of {', '.join(FORMS)}, by the file's ending")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--timeline needs matplotlib: run pip install -e '.[plots]'")
    files.check_writable(path, keep)


def draw(activity: Activity, place: Placement, ends: Ints, path: Path) -> None:
    """Write the picture of a run of ``place``, whose jobs ended in the cycles ``ends`` [jobs].

    The file's ending names its form (:data:`FORMS`). A row shows the cycles in which a unit
    works, and their share at its right end. Raises :class:`~vrex.UserError` as :func:`check`
    does; the file is written whole or not at all.
    """
    check(path)
    from matplotlib.figure import Figure

    start, stop = int(activity.starts[0]), int(ends[-1])
    cycles = stop - start
    parts = [(start, stop, f"the whole run: {_sizes(place)}")]
    if len(ends) > LAST:
        parts.append((int(ends[-LAST - 1]), stop, f"its last {LAST} jobs"))
    figure = Figure(figsize=(13, 0.6 + 4.3 * len(parts)), layout="constrained")
    figure.suptitle(
        f"{len(ends):,} jobs in {cycles:,} cycles; {activity.hidden():.1%} of prediction hidden "
        "behind the DPE",
        fontsize=13,
    )
    for number, (first, last, title) in enumerate(parts):
        axes = figure.add_subplot(len(parts), 1, number + 1)
        axes.set_title(title, loc="left", fontsize=10)
        _rows(axes, activity, first, last)
        _marks(axes, place, ends[(ends > first) & (ends <= last)], len(ends))
    axes.set_xlabel("cycle; a line: a job has ended")
    with files.whole(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix[1:].lower(), dpi=110)


def _sizes(place: Placement) -> str:
    counts = {
        "frames": place.frames,
        "layers": place.layers,
        "KV heads": place.layer_heads,
    }
    return " x ".join(f"{count:,} {what}" for what, count in counts.items())


def _rows(axes: "Axes", activity: Activity, first: int, last: int) -> None:
    """Draw each unit's row from cycle ``first`` to ``last``."""
    edges = np.linspace(first, last, min(COLUMNS, last - first) + 1)
    for row, (_, unit) in enumerate(ROWS):
        share = activity.shares(unit, edges)
        axes.axhspan(row - 0.4, row + 0.4, color="#f2f2f2", linewidth=0, zorder=0)
        low = row + 0.4
        axes.stairs(low - 0.8 * share, edges, baseline=low, fill=True, color=COLOURS[unit])
        axes.text(
            *(1.005, row, f"{share.mean():.1%}"),
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            fontsize=8,
        )
    height = 0
    for rows in list(GROUPS.values())[:-1]:
        height += len(rows)
        axes.axhline(height - 0.5, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(ROWS)), [label for label, _ in ROWS], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(ROWS) - 0.5, -0.5)
    axes.set_xlim(first, last)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _marks(axes: "Axes", place: Placement, ends: Ints, jobs: int) -> None:
    """Mark the jobs that end in a part, or the frames if the jobs are too many."""
    first = jobs - len(ends)
    marked = [j for j in range(len(ends)) if len(ends) <= MARKS or place.last_of_frame(first + j)]
    if len(marked) > MARKS:
        return
    for j in marked:
        axes.axvline(ends[j], color="#000000", linewidth=0.6, alpha=0.5)
    if len(ends) <= LAST:
        named = axes.secondary_xaxis("top")
        names = [place.name_of(first + j) for j in marked]
        named.set_xticks([int(ends[j]) for j in marked], names, fontsize=8, ha="right")
        named.spines["top"].set_visible(False)
