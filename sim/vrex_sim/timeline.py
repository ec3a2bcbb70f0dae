"""A picture of a run: which unit worked when."""

from pathlib import Path

import numpy as np

from vrex import UserError
from vrex_hw.core.ports import UNITS
from vrex_sim.activity import Activity

ROWS = (
    ("DPE: attend", "attend", "#1f6f8b"),
    ("DPE: score", "score", "#d97b29"),
    ("DPE: hash", "hash", "#8a5fb0"),
    ("DPE works", "dpe", "#444444"),
    ("WTU", "wtu", "#d97b29"),
    ("HCU", "hcu", "#8a5fb0"),
    ("retriever", "retriever", "#3d8f5f"),
    ("storer", "storer", "#b04a4a"),
    ("table", "table", "#777777"),
    ("memory: reads", "memory_in", "#1f6f8b"),
    ("memory: writes", "memory_out", "#b04a4a"),
    ("link: in", "link_in", "#3d8f5f"),
    ("link: out", "link_out", "#b04a4a"),
)
"""A row's label, the unit that it shows, and its colour."""
COLUMNS = 1600
"""Most columns: where a run has more cycles, a column shows the share of its cycles."""


def draw(activity: Activity, path: Path, *, first: int = 0, last: int | None = None) -> None:
    """Write a picture of cycles ``first`` to ``last`` (all of them if left out) to ``path``.

    The file's ending names its form (png, svg, pdf). Raises :class:`~vrex.UserError` where
    matplotlib is missing or the file cannot be written.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise UserError("--timeline needs matplotlib: run pip install -e '.[plots]'") from None
    end = int(activity.starts[-1] + activity.lengths[-1]) if len(activity.starts) else 1
    start = max(first, int(activity.starts[0]) if len(activity.starts) else 0)
    stop = max(start + 1, min(end, end if last is None else last))
    edges = np.linspace(start, stop, min(COLUMNS, stop - start) + 1)
    figure, axes = pyplot.subplots(figsize=(12, 0.32 * len(ROWS) + 1), layout="constrained")
    for row, (_, unit, colour) in enumerate(ROWS):
        share = _share(activity, unit, edges)
        axes.bar(
            edges[:-1], -0.8 * share, np.diff(edges), bottom=row + 0.4, align="edge", color=colour
        )
    axes.set_yticks(range(len(ROWS)), [label for label, _, _ in ROWS])
    axes.set_ylim(len(ROWS) - 0.5, -0.6)
    axes.set_xlim(start, stop)
    axes.set_xlabel("cycle")
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the timeline cannot be written ({error})") from None
    finally:
        pyplot.close(figure)


def _share(activity: Activity, unit: str, edges: np.ndarray) -> np.ndarray:
    """Return the share of each column's cycles in which ``unit`` works."""
    works = activity.works[:, UNITS.index(unit)]
    done = np.concatenate([[0.0], np.cumsum(activity.lengths * works)])
    at = np.concatenate([activity.starts, activity.starts[-1:] + activity.lengths[-1:]])
    return np.diff(np.interp(edges, at, done)) / np.diff(edges)
