"""A whole run: every output tensor recomputed from its inputs, padding, metadata and summary."""

import dataclasses
import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from resv_ref import numerics, run, wicsum
from resv_ref import trace as traces
from resv_ref.hashing import hash_bits
from resv_ref.retrieval import ReSV
from resv_ref.trace import Trace
from vrex import Params, UserError

Outputs = tuple[dict[str, Tensor], dict[str, Any]]


@pytest.fixture(scope="module")
def outputs(small: Trace) -> Outputs:
    return run.run(small)


def test_names_shapes_and_dtypes(small: Trace, outputs: Outputs) -> None:
    tensors = outputs[0]
    c = int(tensors["sealed"].max())
    assert c > 5
    assert {n: (tuple(t.shape), t.dtype) for n, t in tensors.items()} == {
        "hash_bits": ((20, 5, 2), torch.int64),
        "cluster": ((20, 5, 2), torch.int32),
        "weights": ((20, 4, 5, c), torch.int32),
        "counts": ((20, 2, c), torch.int32),
        "row_selected": ((20, 4, 5, c), torch.bool),
        "selected": ((20, 2, c), torch.bool),
        "sealed": ((20, 2), torch.int32),
        "attn_out": ((20, 5, 4, 16), torch.bfloat16),
        "hyperplanes": ((32, 16), torch.bfloat16),
    }
    assert run.run(small, engine="float")[0]["weights"].dtype == torch.float32


def test_hash_bits(small: Trace, outputs: Outputs) -> None:
    tensors = outputs[0]
    live = traces.live(small)
    wanted = hash_bits(small.k_hash[live], tensors["hyperplanes"], exact=True)
    assert torch.equal(tensors["hash_bits"][live], wanted)


def test_counts_and_sealed_follow_from_the_clusters(small: Trace, outputs: Outputs) -> None:
    """Counted before the frame: the sealed clusters' members, 0 past the sealed ones."""
    tensors = outputs[0]
    for head in range(2):
        for frame in range(20):
            before = tensors["cluster"][:frame, :, head]
            members = torch.bincount(before[before >= 0], minlength=1)
            sealed = int(tensors["sealed"][frame, head])
            counts = tensors["counts"][frame, head]
            assert counts[:sealed].tolist() == members[:sealed].tolist()
            assert not counts[sealed:].any()
            in_window = int(members[sealed:].sum())
            assert in_window <= small.params.recent_window
            if sealed and frame:
                grown = tensors["sealed"][frame, head] > tensors["sealed"][frame - 1, head]
                assert not grown or in_window + int(members[sealed - 1]) > 12


def test_sinks_are_in_no_cluster(outputs: Outputs) -> None:
    cluster = outputs[0]["cluster"]
    assert cluster[0, :3].tolist() == [[-1, -1]] * 3
    assert bool((cluster[0, 3:] >= 0).all())


def test_weights_are_those_of_the_means(small: Trace, outputs: Outputs) -> None:
    tensors = outputs[0]
    head_of = small.q_heads // small.kv_heads
    live = traces.live(small)
    stream = {h: small.k[live][:, h] for h in range(2)}
    cluster = {h: tensors["cluster"][live][:, h] for h in range(2)}
    for frame, head, token in [(19, 0, 0), (15, 3, 4), (15, 1, 0), (10, 2, 2)]:
        kv = head // head_of
        means = []
        for number in range(int(tensors["sealed"][frame, kv])):
            total = torch.zeros(16)
            for key in stream[kv][cluster[kv] == number].float():
                total = total + key
            means.append((total / int((cluster[kv] == number).sum())).bfloat16())
        scores = torch.stack([numerics.dot(small.q[frame, token, head], m) for m in means])
        row = numerics.weights(numerics.scale(scores, 16)[None], small.params)[0]
        assert torch.equal(tensors["weights"][frame, head, token, : len(row)].long(), row)
        assert not tensors["weights"][frame, head, token, len(row) :].any()


def test_selections_follow_from_weights_and_counts(small: Trace, outputs: Outputs) -> None:
    tensors = outputs[0]
    for frame in range(20):
        live = int(small.frame_lengths[frame])
        for kv in range(2):
            sealed = int(tensors["sealed"][frame, kv])
            group = slice(2 * kv, 2 * kv + 2)
            weights = tensors["weights"][frame, group, :live, :sealed].flatten(0, 1)
            counts = tensors["counts"][frame, kv, :sealed]
            wanted = wicsum.select(weights, counts, small.params)
            rows = tensors["row_selected"][frame, group]
            assert torch.equal(rows[:, :live, :sealed].flatten(0, 1), wanted)
            assert not rows[:, :, sealed:].any()
            assert torch.equal(tensors["selected"][frame, kv, :sealed], wanted.any(0))


def test_padding_is_zero_and_never_read(small: Trace, outputs: Outputs) -> None:
    """The fixture pads with NaN: with zeros instead, every output is the same."""
    tensors, padding = outputs[0], ~traces.live(small)
    assert padding.sum() == 16
    assert not tensors["hash_bits"][padding].any()
    assert not tensors["attn_out"][padding].any() and tensors["attn_out"][~padding].all()
    assert bool((tensors["cluster"][padding] == -1).all())
    assert not tensors["weights"].transpose(1, 2)[padding].any()
    assert not tensors["row_selected"].transpose(1, 2)[padding].any()
    zeros = {n: t.nan_to_num() for n, t in small.tensors().items()}
    again = run.run(Trace(params=small.params, **zeros))[0]
    assert all(torch.equal(tensors[n], again[n]) for n in tensors)


@pytest.mark.parametrize("engine", ["exact", "float"])
def test_streaming_is_the_whole_trace(small: Trace, engine: str) -> None:
    """A user's loop, with tensors of their own, gives what the run gives."""
    tensors = run.run(small, engine=engine)[0]
    resv = ReSV(small.params, engine=engine)
    for f, length in enumerate(small.frame_lengths.tolist()):
        q, k, v, k_hash = (t[f, :length] for t in (small.q, small.k, small.v, small.k_hash))
        one = resv.step(q, k, v, k_hash)
        scored = one.counts.shape[1]
        assert torch.equal(one.hash_bits, tensors["hash_bits"][f, :length])
        assert torch.equal(one.cluster, tensors["cluster"][f, :length])
        assert torch.equal(one.sealed, tensors["sealed"][f])
        assert torch.equal(one.counts, tensors["counts"][f, :, :scored])
        assert torch.equal(one.weights, tensors["weights"][f, :, :length, :scored])
        assert torch.equal(one.row_selected, tensors["row_selected"][f, :, :length, :scored])
        assert torch.equal(one.selected, tensors["selected"][f, :, :scored])
        assert one.attention is not None
        assert torch.equal(one.attention, tensors["attn_out"][f, :length])


TEXT = {"those of one token": None, "told": torch.arange(20) % 3 == 0}


@pytest.mark.parametrize("text", TEXT.values(), ids=TEXT.keys())
@pytest.mark.parametrize("engine", ["exact", "float"])
def test_text_steps_select_by_their_own_floor_and_cap(
    small: Trace, engine: str, text: Tensor | None
) -> None:
    """All else is as it was: the same weights, and the same selection in frames."""
    trace = dataclasses.replace(small, text=text)
    steps = trace.text_steps
    assert steps.any() and not steps.all()
    plain = small.params.replace(wicsum_ratio=0.6)
    frames = dataclasses.replace(small, text=torch.zeros(20, dtype=torch.bool))
    of_frames = run.run(frames, plain, engine)[0]
    for floor, cap in ((1, 1), (1, 3), (4, None)):
        got = run.run(trace, plain.replace(text_k_min=floor, text_k_max=cap), engine)[0]
        of_text = run.run(frames, plain.replace(k_min=floor, k_max=cap or 5), engine)[0]
        assert torch.equal(got["weights"], of_frames["weights"])
        for name in ("row_selected", "selected"):
            assert torch.equal(got[name][~steps], of_frames[name][~steps])
            assert torch.equal(got[name][steps], of_text[name][steps])
            assert not torch.equal(of_text[name][steps], of_frames[name][steps])
            assert not torch.equal(of_text[name][~steps], of_frames[name][~steps])


@pytest.mark.parametrize("engine", ["exact", "float"])
def test_a_streams_user_says_what_is_text(small: Trace, engine: str) -> None:
    """A step is one of a frame unless it is told otherwise; clusters do not depend on it."""
    resv = ReSV(small.params.replace(text_k_min=3, text_k_max=3), engine=engine)
    plain = ReSV(small.params, engine=engine)
    seen = 0
    for f in range(small.frames):
        given = {**run.frame(small, f), "text": f % 2 == 1}
        one, other = resv.step(**given), plain.step(**given)
        assert torch.equal(one.cluster, other.cluster)
        scored = int(one.sealed.min())
        if f % 2:
            picked = one.row_selected.sum(2)
            assert int(picked.max()) <= 3 and (scored < 3 or int(picked.min()) == 3)
            seen += scored >= 3
        else:
            assert torch.equal(one.row_selected, other.row_selected)
    assert seen > 5


def test_a_stream_that_never_seals_has_no_columns(small: Trace) -> None:
    tensors, summary = run.run(small, small.params.replace(recent_window=1000))
    assert tensors["weights"].shape == (20, 4, 5, 0)
    assert tensors["selected"].shape == (20, 2, 0)
    assert not tensors["sealed"].any()
    assert summary["retrieved"] == 0.0
    assert summary["retrieved_with_resident"] == 1.0


def test_previous_layer_scores_with_q_retrieve(small: Trace) -> None:
    params = small.params.replace(query="previous_layer")
    with pytest.raises(UserError, match="q_retrieve is missing"):
        run.run(small, params)
    other = small.q.flip(1).flip(2).nan_to_num()
    swapped = Trace(params=params, **{**small.tensors(), "q_retrieve": other})
    plain = Trace(params=small.params, **{**small.tensors(), "q": other})
    found, wanted = run.run(swapped)[0], run.run(plain)[0]
    for name in wanted.keys() - {"attn_out"}:
        assert torch.equal(found[name], wanted[name])
    assert not torch.equal(found["weights"], run.run(small)[0]["weights"])


def test_metadata_names_parameters_and_engines(small: Trace, outputs: Outputs) -> None:
    metadata = outputs[1]["metadata"]
    assert isinstance(metadata, dict)
    assert Params.from_json(metadata["resv"]) == small.params
    assert json.loads(metadata["engines"]) == dict.fromkeys(
        ("hash", "cluster", "score", "threshold", "aggregate", "attend"), "exact"
    )
    assert json.loads(metadata["numerics"]) == {"beat": 64, "window": 28}


@pytest.mark.parametrize("sizes", [{"beat": 3}, {"window": 9}, {"beat": 8, "window": 12}])
def test_every_step_takes_the_beat_and_the_window(
    small: Trace, outputs: Outputs, sizes: dict[str, int]
) -> None:
    tensors, summary = run.run(small, **sizes)
    assert json.loads(summary["metadata"]["numerics"]) == {"beat": 64, "window": 28, **sizes}
    live = traces.live(small)
    keys, planes = small.k_hash[live], tensors["hyperplanes"]
    wanted = hash_bits(keys, planes, exact=True, **sizes)
    assert torch.equal(tensors["hash_bits"][live], wanted)
    if "window" in sizes:
        for name in ("weights", "attn_out"):
            assert not torch.equal(tensors[name], outputs[0][name])
    for name in ("beat", "window"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            run.run(small, **{name: 0})


def test_progress_is_told_every_frame(small: Trace) -> None:
    told: list[tuple[int, int]] = []
    run.run(small, engine="float", progress=lambda done, total: told.append((done, total)))
    assert told == [(n + 1, 20) for n in range(20)]


def test_summary_counts_tokens_one_by_one(small: Trace, outputs: Outputs) -> None:
    summary = outputs[1]
    resv = ReSV(small.params)
    selected = scored = resident = past = representatives = attended = 0
    for f in range(20):
        stored = resv.stored
        one = resv.step(**run.frame(small, f))
        for head in range(2):
            selected += len(one.tokens[head])
            resident += len(one.resident[head])
            scored += int(one.counts[head].sum())
            past += stored
            representatives += int(one.sealed[head])
            earlier = len(one.tokens[head]) + len(one.resident[head])
            attended += sum(earlier + t + 1 for t in range(len(one.hash_bits)))
    assert resident + scored == past
    assert summary["tokens"] == resv.stored == 84
    assert summary["clusters"] == sum(len(t) for t in resv.tables)
    assert math.isclose(summary["attended_per_row"], attended / (2 * 84))
    assert math.isclose(summary["tokens_per_cluster"], 2 * 81 / summary["clusters"])
    assert math.isclose(summary["retrieved"], selected / scored)
    assert math.isclose(summary["retrieved_with_resident"], (selected + resident) / past)
    assert summary["fetched_bytes"] == selected * 2 * 16 * 2
    assert summary["representative_bytes"] == representatives * 16 * 2
    assert math.isclose(
        summary["retrieved_with_representatives"], (2 * selected + representatives) / (2 * scored)
    )
    assert 0 < summary["retrieved"] < 1


@pytest.mark.parametrize(
    "changes",
    [
        {"score_map": "raw"},
        {"attend_recent": False},
        {"cluster_scope": "per_layer"},
        {"cluster_bits": "mean"},
    ],
)
def test_exact_refuses_what_only_float_does(small: Trace, changes: dict[str, object]) -> None:
    params = small.params.replace(**changes)
    with pytest.raises(UserError, match=next(iter(changes))):
        run.run(small, params, "exact")
    tensors, _ = run.run(small, params, "float")
    assert tensors["selected"].any()


def test_an_unknown_engine_and_parameters_the_trace_cannot_follow_are_refused(
    small: Trace,
) -> None:
    with pytest.raises(UserError, match="unknown engine 'fast'"):
        run.run(small, engine="fast")
    planes = Trace(
        params=small.params, **small.tensors(), hyperplanes=torch.ones(32, 16).bfloat16()
    )
    with pytest.raises(UserError, match=r"hyperplanes has shape \[32, 16\]; it must be \[16, 16\]"):
        run.run(planes, small.params.replace(n_hyperplanes=16))
