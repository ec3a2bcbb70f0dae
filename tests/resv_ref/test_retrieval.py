"""The streaming API: the tokens it names, its options, and what it refuses."""

import pytest
import torch
from torch import Tensor

from resv_ref import run
from resv_ref.attention import light_attention
from resv_ref.hashing import hash_bits
from resv_ref.retrieval import ReSV
from resv_ref.trace import Trace, draw_hyperplanes
from vrex import Params


def members(resv: ReSV, head: int, clusters: range | list[int]) -> list[int]:
    return [token for c in clusters for token in resv.tables[head].members[c]]


def test_tokens_are_the_selected_clusters_members_in_order(small: Trace) -> None:
    resv = ReSV(small.params)
    fetched = 0
    for f in range(small.frames):
        stored, lengths = resv.stored, [len(t) for t in resv.tables or ((), ())]
        one = resv.step(**run.frame(small, f))
        for head in range(2):
            sealed = int(one.sealed[head])
            chosen = one.selected[head].nonzero()[:, 0].tolist()
            assert one.tokens[head].tolist() == members(resv, head, chosen)
            sinks = list(range(min(stored, 3)))
            open_ones = [t for t in members(resv, head, range(sealed, lengths[head])) if t < stored]
            assert sorted(one.resident[head].tolist()) == sorted(sinks + open_ones)
            assert one.resident[head].tolist()[: len(sinks)] == sinks
            assert not set(one.resident[head].tolist()) & set(one.tokens[head].tolist())
            fetched += len(chosen)
    assert fetched > 20


def test_a_frame_does_not_see_its_own_keys(small: Trace) -> None:
    """The same frame with other keys retrieves the same tokens."""
    first, second = ReSV(small.params), ReSV(small.params)
    for f in range(15):
        first.step(**run.frame(small, f))
        second.step(**run.frame(small, f))
    frame = run.frame(small, 15)
    one = first.step(**frame)
    other = second.step(frame["q"], -frame["k"], None, -frame["k_hash"])
    assert torch.equal(one.weights, other.weights)
    assert [t.tolist() for t in one.tokens] == [t.tolist() for t in other.tokens]
    assert not torch.equal(one.hash_bits, other.hash_bits)


def test_a_result_does_not_change_when_the_stream_goes_on(small: Trace) -> None:
    resv = ReSV(small.params)
    results = [resv.step(**run.frame(small, f)) for f in range(small.frames)]
    again = ReSV(small.params)
    for f in range(10):
        one = again.step(**run.frame(small, f))
        assert torch.equal(one.cluster, results[f].cluster)
        assert torch.equal(one.weights, results[f].weights)


def test_a_row_of_nan_takes_all_clusters_or_the_cap_and_harms_no_other(small: Trace) -> None:
    """NaN scores have weight 0; the stream's other rows keep their weights."""
    good, bad = ReSV(small.params), ReSV(small.params)
    for f in range(15):
        good.step(**run.frame(small, f))
        bad.step(**run.frame(small, f))
    frame = run.frame(small, 15)
    poisoned = frame["q"].clone()
    poisoned[2, 1, 3] = float("nan")
    wanted, found = good.step(**frame), bad.step(**{**frame, "q": poisoned})
    assert not found.weights[1, 2].any()
    assert found.row_selected[1, 2].nonzero()[:, 0].tolist() == list(range(5))
    others = torch.ones(4, 5, dtype=torch.bool)
    others[1, 2] = False
    assert torch.equal(found.weights[others], wanted.weights[others])
    assert torch.equal(found.row_selected[others], wanted.row_selected[others])


@pytest.mark.parametrize("query", ["same_layer", "previous_layer"])
@pytest.mark.parametrize("engine", ["exact", "float"])
def test_every_row_attends_its_tokens_in_order(small: Trace, engine: str, query: str) -> None:
    """Sinks, selected clusters, open clusters, then the frame up to the row's own token."""
    params = small.params.replace(query=query)
    rough = {"beat": 4, "window": 10}  # so that the order of the tokens shows
    resv = ReSV(params, engine=engine, **rough)
    keys, values = (torch.cat([run.frame(small, f)[n] for f in range(20)]) for n in "kv")
    for f in range(small.frames):
        frame, stored = run.frame(small, f), resv.stored
        clusters = [len(t) for t in resv.tables or ((), ())]
        other = frame["q"].flip(0) if query == "previous_layer" else None
        one = resv.step(**frame, q_retrieve=other)
        assert one.attention is not None and one.attention.shape == frame["q"].shape
        for token, head in [(len(frame["q"]) - 1, 0), (0, 3), (len(frame["q"]) // 2, 2)]:
            kv = head // 2
            chosen = one.selected[kv].nonzero()[:, 0].tolist()
            opened = members(resv, kv, range(int(one.sealed[kv]), clusters[kv]))
            order = [
                *range(min(3, stored)),
                *members(resv, kv, chosen),
                *(t for t in opened if t < stored),
                *range(stored, stored + token + 1),
            ]
            k, v, q = keys[order, kv], values[order, kv], frame["q"][token, head][None]
            limits = torch.tensor([len(order)])
            if engine == "exact":
                wanted = light_attention(q, k, v, limits, **rough)[0]
                assert torch.equal(one.attention[token, head], wanted)
            else:
                wanted = torch.softmax(q.float() @ k.float().T / 4, -1) @ v.float()
                assert torch.allclose(one.attention[token, head].float(), wanted[0], atol=0.01)


def test_a_single_token_attends_itself(small: Trace) -> None:
    frame = run.frame(small, 0)
    frame |= {name: frame[name][:1] for name in ("q", "k", "v", "k_hash")}
    one = ReSV(small.params).step(**frame)
    assert one.attention is not None
    assert torch.equal(one.attention, frame["v"].repeat_interleave(2, 1))


def test_attention_ends_where_v_is_left_out(small: Trace) -> None:
    resv, wanted = ReSV(small.params), ReSV(small.params)
    for f in range(4):
        frame = run.frame(small, f)
        one = resv.step(**(frame if f < 2 else {**frame, "v": None}))
        assert (one.attention is None) == (f >= 2)
        other = wanted.step(**frame)
        assert torch.equal(one.weights, other.weights) and torch.equal(one.cluster, other.cluster)
    with pytest.raises(ValueError, match="v is missing in an earlier frame"):
        resv.step(**run.frame(small, 4))
    assert resv.stored == 20


def test_a_row_of_nan_attends_to_nan_and_harms_no_other(small: Trace) -> None:
    good, bad = ReSV(small.params), ReSV(small.params)
    for f in range(15):
        wanted, frame = good.step(**run.frame(small, f)), run.frame(small, f)
        frame["q"] = frame["q"].clone()
        frame["q"][2, 1, 3] = float("inf")
        found = bad.step(**frame)
        assert wanted.attention is not None and found.attention is not None
        poisoned = found.attention.isnan()
        assert bool(poisoned[2, 1].all()) and int(poisoned.sum()) == 16
        apart = slice(2, 4) if f else slice(4)  # its KV head retrieves more once there is some
        assert torch.equal(found.attention[:2, apart], wanted.attention[:2, apart])


def heads(t: int, q_heads: int, kv_heads: int, d: int) -> tuple[Tensor, Tensor]:
    return torch.ones(t, q_heads, d).bfloat16(), torch.ones(t, kv_heads, d).bfloat16()


@pytest.mark.parametrize(
    ("q", "k", "says"),
    [
        (torch.ones(2, 4, 8), torch.ones(2, 3, 8), "3 KV heads do not divide 4"),
        (torch.ones(0, 4, 8), torch.ones(0, 2, 8), "none of them 0"),
        (torch.ones(4, 8), torch.ones(2, 8), r"q must be \[T, Hq, d\]"),
        (torch.ones(2, 4, 8), torch.ones(3, 2, 8), "k is"),
        (torch.ones(2, 4, 8), torch.ones(2, 2, 9), "k is"),
    ],
)
def test_wrong_shapes_are_refused(q: Tensor, k: Tensor, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ReSV(Params(hash_keys="post_rope")).step(q, k, k)


def test_missing_and_changing_tensors_are_refused() -> None:
    q, k = heads(2, 4, 2, 8)
    with pytest.raises(ValueError, match="k_hash is missing"):
        ReSV().step(q, k, k)
    with pytest.raises(ValueError, match="q_retrieve is missing"):
        ReSV(Params(query="previous_layer")).step(q, k, k, k)
    with pytest.raises(ValueError, match="q_retrieve is"):
        ReSV(Params(query="previous_layer")).step(q, k, k, k, q[:1])
    with pytest.raises(ValueError, match="v is"):
        ReSV().step(q, k, k[:1], k)
    with pytest.raises(ValueError, match="hyperplanes is"):
        ReSV(hyperplanes=torch.ones(32, 9)).step(q, k, k, k)
    resv = ReSV()
    resv.step(q, k, k, k)
    with pytest.raises(ValueError, match="in earlier frames, now"):
        resv.step(*heads(2, 8, 2, 8), None, heads(2, 8, 2, 8)[1])


def test_a_refused_step_leaves_the_stream_as_it_was(small: Trace) -> None:
    spoilt, wanted = ReSV(small.params), ReSV(small.params)
    for f in range(12):
        frame = run.frame(small, f)
        for name in ("q", "k", "k_hash"):
            with pytest.raises(ValueError):
                spoilt.step(**{**frame, name: frame[name][..., :-1]})
        one, other = spoilt.step(**frame), wanted.step(**frame)
        assert torch.equal(one.weights, other.weights)
        assert torch.equal(one.cluster, other.cluster)


def test_tensors_of_a_model_in_training_are_taken(small: Trace) -> None:
    """float32 with gradients: rounded to bfloat16, and no graph is kept."""
    resv, wanted = ReSV(small.params), ReSV(small.params)
    for f in range(12):
        frame = run.frame(small, f)
        trained = {n: frame[n].float().requires_grad_() for n in ("q", "k", "v", "k_hash")}
        one = resv.step(**{**frame, **trained})
        assert torch.equal(one.weights, wanted.step(**frame).weights)
        assert not one.weights.requires_grad


FLOAT = Params(recent_window=12, join_window=8, cluster_cap=4, n_sinks=3, k_min=2, k_max=5)


def test_without_attend_recent_open_clusters_are_scored(small: Trace) -> None:
    """Every cluster counts, the open ones' means as they are; only sinks stay resident."""
    resv = ReSV(FLOAT.replace(attend_recent=False), engine="float")
    for f in range(small.frames):
        stored, clusters = resv.stored, [len(t) for t in resv.tables or ((), ())]
        one = resv.step(**run.frame(small, f))
        for head in range(2):
            assert one.resident[head].tolist() == list(range(min(stored, 3)))
            assert int((one.counts[head] > 0).sum()) == clusters[head]
            assert int(one.counts[head].sum()) == max(0, stored - 3)
    assert bool((one.sealed > 0).all())


def test_per_layer_has_one_table_of_the_concatenated_keys(small: Trace) -> None:
    params = FLOAT.replace(cluster_scope="per_layer", hash_keys="post_rope")
    tensors, _ = run.run(small, params, "float")
    assert tensors["hyperplanes"].shape == (32, 32)
    assert torch.equal(tensors["hyperplanes"], draw_hyperplanes(32, 32))
    for name in ("hash_bits", "cluster"):
        assert torch.equal(tensors[name][:, :, 0], tensors[name][:, :, 1])
    wide = small.k[:16].flatten(2)
    wanted = hash_bits(wide, tensors["hyperplanes"], exact=False)
    assert torch.equal(tensors["hash_bits"][:16, :, 0], wanted)
    assert not torch.equal(tensors["selected"][:, 0], tensors["selected"][:, 1])
    concatenated = Trace(
        params=params.replace(cluster_scope="per_head"),
        q=small.q[..., :1, :].repeat(1, 1, 1, 2),
        k=small.k.flatten(2)[:, :, None],
        v=small.v.flatten(2)[:, :, None],
        frame_lengths=small.frame_lengths,
    )
    assert torch.equal(
        run.run(concatenated, engine="float")[0]["cluster"][..., 0], tensors["cluster"][..., 0]
    )


def test_per_layer_scores_each_head_with_its_part_of_the_mean(small: Trace) -> None:
    tensors, _ = run.run(small, FLOAT.replace(cluster_scope="per_layer"), "float")
    live = torch.arange(5) < small.frame_lengths[:, None]
    cluster, frame = tensors["cluster"][live][:, 0], 15
    for head in range(4):
        keys = small.k[live][:, head // 2]
        sealed = int(tensors["sealed"][frame, 0])
        means = torch.stack([keys[cluster == n].float().mean(0).bfloat16() for n in range(sealed)])
        scores = small.q[frame, 2, head].float() @ means.float().T / 4
        wanted = torch.exp(scores - scores.max())
        found = tensors["weights"][frame, head, 2, :sealed]
        assert torch.allclose(found, wanted, rtol=0.05, atol=1e-6)


def test_bits_of_the_mean_follow_the_members(small: Trace) -> None:
    resv = ReSV(FLOAT.replace(cluster_bits="mean"), engine="float")
    for f in range(small.frames):
        resv.step(**run.frame(small, f))
    stream = torch.cat([run.frame(small, f)["k_hash"] for f in range(small.frames)]).float()
    planes = draw_hyperplanes(32, 16).float()
    table, changed = resv.tables[0], 0
    for number in range(len(table)):
        mean = stream[table.members[number], 0].mean(0)
        margin = (planes @ mean).abs().min()
        bits = sum(1 << m for m in range(32) if planes[m] @ mean > 0)
        if margin > 1e-4:
            assert table.bits[number] == bits
        leader = int(hash_bits(stream[table.members[number][0], 0], planes, exact=False))
        changed += table.bits[number] != leader % 2**64
    assert changed > 0


def test_raw_scores_are_weights_as_they_are(small: Trace) -> None:
    tensors, _ = run.run(small, FLOAT.replace(score_map="raw"), "float")
    assert bool((tensors["weights"] < 0).any())
