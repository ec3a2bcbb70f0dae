"""How often the exact engine selects just what the float one does, on a captured trace."""

from torch import Tensor

from resv_ref import run
from resv_ref.trace import Trace
from vrex import Params


def agreement(trace: Trace, params: Params | None = None) -> dict[str, float]:
    """Return the share of ``rows``, and of KV heads' unions a frame (``unions``), that agree.

    A row is a live token of one query head with a cluster to select; one that selects the same
    clusters from both engines agrees. 1.0 where there is none. ``params`` replaces the trace's.
    """
    params = trace.params if params is None else params
    exact, _ = run.run(trace, params, "exact")
    rough, _ = run.run(trace, params, "float")
    return {
        "rows": _same(exact["row_selected"], rough["row_selected"]),
        "unions": _same(exact["selected"], rough["selected"]),
    }


def _same(a: Tensor, b: Tensor) -> float:
    """Return the share of the last axis' slices, but empty ones, that are equal."""
    some = a.any(-1) | b.any(-1)
    same = (a == b).all(-1) & some
    return float(same.sum() / some.sum()) if some.any() else 1.0
