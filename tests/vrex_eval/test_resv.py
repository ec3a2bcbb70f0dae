"""The batched ReSV selects what the float reference selects, and the exact one is the exact one."""

import dataclasses

import pytest
import torch

from resv_ref import ReSV
from vrex import MODES, Params, UserError
from vrex_eval.methods import make
from vrex_eval.methods.attention import rows
from vrex_eval.methods.oaken import quantise
from vrex_eval.methods.resv import ReSV as Batched
from vrex_eval.methods.resv import ReSVCache

SMALL = Params(recent_window=30, join_window=20, cluster_cap=6, k_min=2, k_max=6, n_sinks=3)
VARIANTS = {
    "recommended": {},
    "paper": {**MODES["paper"].__dict__, "recent_window": 30, "join_window": 30},
    "shift_min": {"score_map": "shift_min"},
    "relu": {"score_map": "relu", "k_max": None},
    "raw": {"score_map": "raw"},
    "temperature": {"score_temperature": 4.0, "wicsum_ratio": 0.05},
    "no windows": {"recent_window": 10_000, "join_window": 10_000, "attend_recent": False},
    "per layer": {"cluster_scope": "per_layer"},
    "mean bits": {"cluster_bits": "mean"},
    "post rope": {"hash_keys": "post_rope", "hamming_threshold": 9},
    "previous": {"query": "previous_layer"},
    "no sinks": {"n_sinks": 0, "recent_window": 1},
    "many sinks": {"n_sinks": 12},
    "few planes": {"n_hyperplanes": 8, "hamming_threshold": 2},
    "stand-ins": {"estimate": True, "k_min": 1, "k_max": 2},
}


def references(params, engine):
    return [ReSV(params, engine=engine) for _ in range(2)]


def taken(resv, step, b):
    given = (step.q, step.k, step.v, step.k_plain, step.q_previous)
    return resv.step(*(x[b].bfloat16() for x in given))


@pytest.mark.parametrize("name", VARIANTS)
def test_batched_selections_are_the_float_references(steps, name):
    params = SMALL.replace(**VARIANTS[name])
    cache = Batched(name="resv", params=params).layer(0, 6)
    assert isinstance(cache, ReSVCache)
    streams = references(params, "float")
    for step in steps:
        got = cache.attend(step)
        scored = cache.last
        for b, resv in enumerate(streams):
            wanted = taken(resv, step, b)
            tables = 1 if params.cluster_scope == "per_layer" else 2
            number = cache.tables.cluster_of.first(cache.tables.tokens)
            number = number.unflatten(0, (2, tables))[b, :, -step.q.shape[1] :].T
            assert torch.equal(number.expand(-1, 2).int(), wanted.cluster)
            if got.past == 0:
                continue
            c = wanted.counts.shape[1]
            rows = scored.selected[b].unflatten(1, (2, -1)).flatten(0, 1)
            assert torch.equal(rows[..., :c], wanted.row_selected)
            assert not rows[..., c:].any()
            for head in range(2):
                tokens = torch.cat([wanted.tokens[head], wanted.resident[head]])
                keep = torch.zeros(got.past, dtype=torch.bool).index_fill_(0, tokens, True)
                assert torch.equal(got.keep[b, head], keep)
                assert got.read[b, head] == len(tokens)
                assert got.fetched[b, head] == len(wanted.tokens[head])
            assert (got.out[b] - wanted.attention.float()).abs().max() < 0.02 * got.out.abs().max()


def test_representatives_are_counted(steps, run):
    cache = Batched(name="resv", params=SMALL).layer(0, 6)
    got = run(cache, steps)[-1]
    assert got.overhead.tolist() == (cache.last.scored / 2).tolist()
    assert got.overhead.min() > 5


def test_a_clusters_spread_is_added_to_its_score(steps):
    """By the members' own keys; without the setting nothing changes."""
    plain, moved = (
        Batched(name="resv", params=SMALL, moment=moment).layer(0, 6) for moment in (0.0, 1.0)
    )
    keys = torch.cat([step.k for step in steps], 1).bfloat16().float()
    for step in steps:
        for cache in (plain, moved):
            cache.attend(step)
    tables, d = moved.tables, keys.shape[-1]
    numbers = tables.cluster_of.first(tables.tokens).unflatten(0, (2, 2))
    most = moved.last.scored.amax()
    spread = tables.variances(int(most)).unflatten(0, (2, 2))
    for b in range(2):
        for head in range(2):
            for cluster in range(0, int(moved.last.scored[b, head]), 7):
                own = keys[b, numbers[b, head] == cluster, head]
                wanted = own.var(0, unbiased=False).mean()
                torch.testing.assert_close(spread[b, head, cluster], wanted, rtol=1e-3, atol=1e-5)
    norms = rows(steps[-1].q.bfloat16().float(), 2).square().sum(-1, keepdim=True) / d
    more = (norms * spread[:, :, None] / 2).exp()
    ratio = moved.last.weights / plain.last.weights
    # Weights are relative to the row's best.
    ratio, more = (x[..., : int(plain.last.scored.amin())] for x in (ratio, more))
    torch.testing.assert_close(ratio / ratio[..., :1], more / more[..., :1], rtol=1e-3, atol=1e-5)


def test_exact_is_the_exact_reference(steps):
    cache = make("resv_exact:recent_window=30,join_window=20").layer(0, 6)
    params = MODES["estimate"].replace(recent_window=30, join_window=20)
    streams = references(params, "exact")
    for step in steps[:20]:
        got = cache.attend(step)
        for b, resv in enumerate(streams):
            wanted = taken(resv, step, b)
            assert torch.equal(got.out[b], wanted.attention.float())
            assert got.fetched[b].tolist() == [len(tokens) for tokens in wanted.tokens]
            assert got.read[b, 0] == len(wanted.tokens[0]) + len(wanted.resident[0])


def test_exact_refuses_what_hardware_does_not_do():
    with pytest.raises(UserError, match="per_layer"):
        make("resv_exact:cluster_scope=per_layer")
    with pytest.raises(UserError, match="exact picks at both"):
        make("resv_exact:stage=text")


def test_four_bits_select_the_same_and_read_a_third(steps):
    """Clusters are made of the keys before they are rounded; attention is that of what is kept."""
    plain, rounded = (
        Batched(name="resv", params=SMALL, kv_bits=bits).layer(0, 6) for bits in (16, 4)
    )
    for step in steps:
        one, other = plain.attend(step), rounded.attend(step)
        assert torch.equal(one.read, other.read)
        assert torch.equal(one.keep, other.keep) if one.keep is not None else other.keep is None
    assert other.token_cost == pytest.approx((4 * 16 + 6 + 2 * 2 * 16) / (16 * 16))
    assert torch.equal(rounded.store.keys(), quantise(plain.store.keys(), 1))
    assert not torch.equal(one.out, other.out)
    with pytest.raises(UserError, match="kv_bits is 5"):
        Batched(name="resv", kv_bits=5)


def test_a_head_has_the_temperature_of_its_spread(steps):
    """Scores that are four times as far apart select the same: no one temperature does that."""

    def sharper(step, factor):
        return dataclasses.replace(step, q=step.q * factor)

    kept = []
    for factor in (1.0, 4.0):
        cache = Batched(name="resv", params=SMALL, head_spread=1.0).layer(0, 6)
        kept.append([cache.attend(sharper(step, factor)).keep for step in steps])
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(*kept, strict=True))
    plain = Batched(name="resv", params=SMALL).layer(0, 6)
    own = [plain.attend(step).keep for step in steps]
    assert any(a is not None and not torch.equal(a, b) for a, b in zip(own, kept[0], strict=True))
