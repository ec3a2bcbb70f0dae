"""What a run retrieved, in a few figures, from its output tensors (whatever engine made them)."""

from typing import Any

from torch import Tensor

from resv_ref.trace import Trace, live

BF16_BYTES = 2


def summarise(trace: Trace, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Count a run's tokens, clusters, retrieval and bytes.

    Trace and tensors are of one layer or merged (:func:`resv_ref.layers.merge`), the trace with
    the run's parameters. Every figure is a sum over frames and KV heads. ``past`` are the tokens
    stored before a frame, ``scored`` those in clusters that it scored, ``selected`` those in
    clusters that it selected; what is past and not scored (sinks, open window) is always attended.

    - ``tokens``, ``clusters`` (of all KV heads), ``tokens_per_cluster`` (sinks not counted)
    - ``attended_per_row``: mean tokens that a row attends, the frame's own included
    - ``stand_ins_per_frame``: mean clusters of a KV head whose means stand for their tokens,
      beside those; 0 without ``estimate``
    - ``retrieved``: selected / scored, without what is always attended
    - ``retrieved_with_resident``: (selected + always attended) / past
    - ``fetched_bytes``: K and V of the selected tokens in bfloat16
    - ``representative_bytes``: the representatives that scoring read, in bfloat16, and the mean
      values of those that stood for their tokens
    - ``retrieved_with_representatives``: (both of these) / (bytes of K and V of the scored)

    A ratio of nothing is 0.
    """
    alive = live(trace)
    stored = int(alive.sum())
    cluster, counts = tensors["cluster"], tensors["counts"].long()
    clusters = sum(int(cluster[:, :, head].max()) + 1 for head in range(trace.kv_heads))
    clustered = int((cluster >= 0).sum())
    lengths = alive.sum(1)
    past = int((lengths.cumsum(0) - lengths).sum()) * trace.kv_heads
    scored = int(counts.sum())
    chosen = (counts * tensors["selected"]).sum(2)
    selected = int(chosen.sum())
    earlier = (lengths.cumsum(0) - lengths)[:, None] - counts.sum(2) + chosen
    attended = (earlier + (lengths + 1)[:, None] / 2) * lengths[:, None]
    token_bytes = 2 * trace.head_dim * BF16_BYTES
    fetched = selected * token_bytes
    stood = int(((counts > 0) & ~tensors["selected"]).sum()) if trace.params.estimate else 0
    representatives = (int((counts > 0).sum()) + stood) * trace.head_dim * BF16_BYTES
    return {
        "tokens": stored,
        "clusters": clusters,
        "tokens_per_cluster": _ratio(clustered, clusters),
        "attended_per_row": _ratio(float(attended.sum()), stored * trace.kv_heads),
        "stand_ins_per_frame": stood / (trace.frames * trace.kv_heads),
        "retrieved": _ratio(selected, scored),
        "retrieved_with_resident": _ratio(selected + past - scored, past),
        "retrieved_with_representatives": _ratio(fetched + representatives, scored * token_bytes),
        "fetched_bytes": fetched,
        "representative_bytes": representatives,
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
