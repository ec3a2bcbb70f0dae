"""Each method reads what its plain definition says, and counts it."""

import math

import pytest
import torch

from vrex import UserError
from vrex_eval.method import Stage
from vrex_eval.methods import METHODS, make
from vrex_eval.methods.oaken import quantise

SINKS, RECENT = 4, 20


def build(spec, budget=None):
    return make(spec, budget, sinks=SINKS, recent=RECENT)


def history(steps, n, name="k"):
    """Return what came before step n: [B, past, H, d]."""
    return torch.cat([getattr(step, name) for step in steps[:n]], 1)


def rows_of(step, b, head):
    return step.q[b, :, 2 * head : 2 * head + 2].transpose(0, 1).flatten(0, 1)


def always(past):
    return {t for t in range(past) if t < SINKS or t >= past - RECENT}


def kept(got, b, head):
    return set(got.keep[b, head].nonzero()[:, 0].tolist())


def sdpa(step, steps, n, keep):
    k = torch.cat([history(steps, n, "k"), step.k], 1) if n else step.k
    v = torch.cat([history(steps, n, "v"), step.v], 1) if n else step.v
    past, tokens = k.shape[1] - step.k.shape[1], step.k.shape[1]
    out = torch.zeros_like(step.q)
    for b in range(2):
        for h in range(4):
            for t in range(tokens):
                seen = sorted(keep(b, h // 2)) + list(range(past, past + t + 1))
                s = k[b, seen, h // 2] @ step.q[b, t, h] / math.sqrt(16)
                out[b, t, h] = s.softmax(0) @ v[b, seen, h // 2]
    return out


@pytest.mark.parametrize("name", ["full", "flexgen"])
def test_full_is_attention_to_everything(steps, run, name):
    got = run(make(name).layer(0, 6), steps)
    for n in (0, 1, 20, 33):
        past = got[n].past
        wanted = sdpa(steps[n], steps, n, lambda b, h, past=past: range(past))
        torch.testing.assert_close(got[n].out, wanted)
        assert past == sum(step.k.shape[1] for step in steps[:n])
        assert (got[n].read == past).all() and (got[n].fetched == past).all()
        assert not got[n].overhead.any()


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("full", "flexgen", "oaken")])
def test_every_method_attends_what_it_says_it_read(steps, run, name):
    caught = run(build(name).layer(3, 6), steps[:33])
    for n in (15, 32):
        got = caught[n]
        keep = got.keep
        if keep is None:
            keep = torch.ones(2, 2, got.past, dtype=torch.bool)
        assert keep.shape == (2, 2, got.past)
        assert torch.equal(got.read, keep.sum(-1))
        assert (got.fetched <= got.read).all() and (got.overhead >= 0).all()
        if name in ("resv_exact", "recommended"):  # Rounded; means stand for the rest.
            continue
        wanted = sdpa(steps[n], steps, n, lambda b, h, k=keep: k[b, h].nonzero()[:, 0].tolist())
        torch.testing.assert_close(got.out, wanted)


@pytest.mark.parametrize("name", ["infinigenp:calibration=40", "chunks", "rekv", "oracle_topk"])
def test_fetched_is_what_had_to_be_picked(steps, run, name):
    got = run(build(name).layer(3, 6), steps)[28]
    windows = torch.tensor([t < SINKS or t >= got.past - RECENT for t in range(got.past)])
    picked = (got.keep & ~windows).sum(-1)
    if name == "chunks":  # The block that reaches into the window is attended anyway.
        picked = picked - (got.past - RECENT - SINKS) % 8
    assert torch.equal(got.fetched, picked)
    assert picked.min() > 0


def test_streaming_and_recent(steps, run):
    for name, sinks in (("streaming", 4), ("recent", 0)):
        got = run(build(name, 30).layer(0, 6), steps)[-1]
        wanted = {t for t in range(got.past) if t < sinks or t >= got.past - 30}
        assert kept(got, 0, 0) == wanted and not got.fetched.any()


@pytest.mark.parametrize("stage", [Stage.FRAME, Stage.TEXT])
@pytest.mark.parametrize(("name", "size"), [("chunks", 8), ("quest", 16)])
def test_blocks(steps, run, stage, name, size):
    n = 28 if stage is Stage.FRAME else 34
    assert steps[n].stage is stage
    got = run(build(name, 2).layer(2, 6), steps)[n]
    blocks = (got.past - RECENT - SINKS) // size
    for b in range(2):
        for head in range(2):
            k = history(steps, n)[b, :, head]
            wanted = set(range(SINKS)) | set(range(SINKS + blocks * size, got.past))
            fetched = set()
            for row in rows_of(steps[n], b, head):
                scores = []
                for i in range(blocks):
                    block = k[SINKS + i * size : SINKS + (i + 1) * size]
                    if name == "chunks":
                        scores.append(float(row @ block.mean(0)))
                    else:
                        most = torch.maximum(row * block.amax(0), row * block.amin(0))
                        scores.append(float(most.sum()))
                for i in sorted(range(blocks), key=lambda i: -scores[i])[:2]:
                    fetched |= set(range(SINKS + i * size, SINKS + (i + 1) * size))
            assert kept(got, b, head) == wanted | fetched
            assert got.fetched[b, head] == len(fetched)
            assert got.overhead[b, head] == blocks * (0.5 if name == "chunks" else 1)


def test_quests_first_layers_are_dense(steps, run):
    got = run(build("quest", 1).layer(1, 6), steps)[-1]
    assert got.keep is None and (got.read == got.past).all()


def test_rekv_picks_the_same_frames_for_all_heads(steps, run):
    n = 28
    got = run(build("rekv", 6).layer(0, 6), steps)[n]
    frames = (got.past - RECENT) // 5
    for b in range(2):
        query = torch.cat([steps[n].q_plain[b, :, h].mean(0) for h in range(4)])
        scores = []
        for step in steps[:frames]:
            keys = [step.k_plain[b, :, h // 2].mean(0) for h in range(4)]
            scores.append(float(query @ torch.cat(keys)))
        best = sorted(range(frames), key=lambda i: -scores[i])[:6]
        wanted = {t for i in best for t in range(5 * i, 5 * i + 5)} | always(got.past)
        assert kept(got, b, 0) == kept(got, b, 1) == wanted
    assert (got.overhead == frames / 2).all()


def test_oracle_topk(steps, run):
    n = 28
    got = run(build("oracle_topk", 3).layer(0, 6), steps)[n]
    k = history(steps, n)[1, :, 0]
    wanted = always(got.past)
    for row in rows_of(steps[n], 1, 0):
        others = [t for t in range(got.past) if t not in always(got.past)]
        wanted |= set(sorted(others, key=lambda t: -float(row @ k[t]))[:3])
    assert kept(got, 1, 0) == wanted
    assert (got.fetched <= 3 * 10).all()


def test_oracle_topp_carries_the_mass_and_no_more(steps, run):
    n, head = 33, 1
    got = run(build("oracle_topp", 0.9).layer(0, 6), steps)[n]
    k = torch.cat([history(steps, n), steps[n].k], 1)[0, :, head]
    free = [*always(got.past), got.past]
    wanted = set(always(got.past))
    for row in rows_of(steps[n], 0, head):
        weight = (k @ row / 4).softmax(0)
        mass = float(weight[free].sum())
        for t in sorted(set(range(got.past)) - set(free), key=lambda t: -float(weight[t])):
            if mass >= 0.9:
                break
            mass += float(weight[t])
            wanted.add(t)
    assert kept(got, 0, head) == wanted


def test_infinigen_keeps_to_its_cap_and_to_text(steps, run):
    caught = run(build("infinigen:calibration=40", 0.1).layer(0, 6), steps)
    assert all(got.keep is None for got in caught[:30]), "frames"
    picked = [int((g.keep & ~torch.tensor(in_windows(g.past))).sum(-1).max()) for g in caught[30:]]
    assert max(picked) <= 0.1 * 160
    assert caught[-1].overhead[0, 0] == pytest.approx(caught[-1].past * 5 / 32)
    frames = run(build("infinigenp:calibration=40").layer(0, 6), steps)[20:30]
    assert all(got.keep is not None for got in frames)


def in_windows(past):
    return [t in always(past) for t in range(past)]


def test_infinigen_with_all_columns_ranks_by_exact_scores(steps, run):
    n = 33
    spec = "infinigenp:calibration=40,columns=1,alpha=1000"
    got = run(build(spec, 0.2).layer(0, 6), steps)[n]
    k = history(steps, n)[0, :, 1]
    q = steps[n].q_previous[0, :, 2:4].flatten(0, 1)
    scores = q @ k.T / 4
    best = (scores - scores.amax(1, keepdim=True)).amax(0).topk(int(0.2 * got.past)).indices
    assert kept(got, 0, 1) == set(best.tolist()) | always(got.past)


def test_oaken_costs_a_third_and_errs_little(steps, run):
    full = run(make("full").layer(0, 6), steps)[-1]
    got = run(make("oaken").layer(0, 6), steps)[-1]
    assert (got.read == got.past).all() and 0.25 < got.token_cost < 0.7
    error = (got.out - full.out).norm() / full.out.norm()
    assert 0.001 < error < 0.3


def test_quantise_has_sixteen_levels_a_group():
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    for vector, back in zip(x, quantise(x, 4), strict=True):
        apart = torch.zeros(64, dtype=torch.bool)
        apart[vector.abs().topk(4).indices] = True
        for group, values in ((back[apart], vector[apart]), (back[~apart], vector[~apart])):
            assert len(group.unique()) <= 16
            step = (values.max() - values.min()) / 15
            assert (group - values).abs().max() <= step / 2 + 1e-6


def test_topk_clusters_picks_as_many_in_every_row(steps, run):
    cache = make("topk_clusters:recent_window=30,join_window=20", 3).layer(0, 6)
    run(cache, steps)
    assert (cache.last.selected.sum(-1) == 3).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_fork_goes_its_own_way(steps, run, name):
    cache, alone = build(name).layer(3, 6), build(name).layer(3, 6)
    run(cache, steps[:20])
    run(alone, steps[:20])
    fork = cache.fork()
    for step in steps[30:33]:
        asked = fork.attend(step)
        wanted = cache.fork().attend(step) if step is steps[30] else asked
        assert torch.equal(asked.out, wanted.out)
    for step in steps[20:23]:
        got, wanted = cache.attend(step), alone.attend(step)
        assert got.past == wanted.past
        assert torch.equal(got.out, wanted.out) and torch.equal(got.read, wanted.read)


@pytest.mark.parametrize("stage", ["frame", "text"])
def test_stage_limits_where_a_method_picks(steps, run, stage):
    caught = run(build(f"chunks:stage={stage}").layer(0, 6), steps)
    for step, got in zip(steps[1:], caught[1:], strict=True):
        assert (got.keep is not None) == (step.stage.value == stage)


@pytest.mark.parametrize(
    ("spec", "budget", "says"),
    [
        ("chunks:size=8,size=4", None, "size is given twice"),
        ("magic", None, "unknown method 'magic'.*recommended"),
        ("chunks:sise=3", None, "sise=3.*SETTING=VALUE.*size"),
        ("chunks:size", None, "SETTING=VALUE"),
        ("chunks:size=0", None, "size is 0"),
        ("chunks", -1, "budget is -1"),
        ("oracle_topp", 3, "budget is 3"),
        ("topk_clusters", 0.5, "whole number"),
        ("resv", 2, "wicsum_ratio"),
        ("resv:k_min=many", None, "k_min"),
        ("resv:mode=best", None, "best"),
        ("rekv:stage=all", None, "stage is 'all'"),
    ],
)
def test_bad_settings_are_refused(spec, budget, says):
    with pytest.raises(UserError, match=says):
        make(spec, budget)


def test_a_spec_is_the_name_and_changes_parameters():
    method = make("resv:mode=recommended,k_max=8", 0.5, recent=100)
    assert method.name == "resv:mode=recommended,k_max=8"
    assert (method.params.k_max, method.params.wicsum_ratio) == (8, 0.5)
    assert (method.params.hash_keys, method.params.recent_window) == ("pre_rope", 100)


@pytest.mark.parametrize("name", [n for n in METHODS if n != "resv_exact"])
def test_tensors_are_made_where_the_streams_are(steps, name):
    """With another default device: a tensor made without saying where would not mix with these."""
    cache = build(name).layer(3, 6)
    with torch.device("meta"):
        for step in steps[:33]:
            assert cache.attend(step).out.device.type == "cpu"
        cache.fork().attend(steps[33])
