"""Means that stand for clusters that are not selected: as many copies of them, attended plainly."""

import pytest
import torch

from vrex import MODES, UserError
from vrex_eval.methods import make
from vrex_eval.methods.attention import Stand, attend
from vrex_eval.methods.resv import ReSV

SMALL = MODES["paper"].replace(recent_window=30, join_window=30, k_min=1, k_max=2)


def copies(cache, step, keep, chosen, b, head):
    """Return keys and values [n, d] that head ``head`` of stream ``b`` attends, frame left out."""
    keys, values = cache.store.keys()[b, head], cache.store.values()[b, head]
    past = len(keys) - step.q.shape[1]
    numbers = cache.tables.cluster_of.first(past)[2 * b + head]
    k, v = [keys[:past][keep]], [values[:past][keep]]
    for cluster in range(int(cache.last.scored[b, head])):
        own = (numbers == cluster).nonzero()[:, 0]
        if not chosen[cluster]:
            k.append(keys[own].mean(0, keepdim=True).bfloat16().float().expand(len(own), -1))
            v.append(values[own].mean(0, keepdim=True).bfloat16().float().expand(len(own), -1))
    return torch.cat(k), torch.cat(v)


def test_a_mean_stands_for_as_many_tokens(steps):
    cache = ReSV(name="resv", params=SMALL.replace(estimate=True)).layer(0, 6)
    stood = 0
    for step in steps:
        got = cache.attend(step)
        tokens = step.q.shape[1]
        if not got.past or got.keep is None:
            continue
        own_k, own_v = (getattr(cache.store, name)()[:, :, -tokens:] for name in ("keys", "values"))
        for b in range(2):
            for head in range(2):
                chosen = cache.last.selected[b, head].any(0)
                k, v = copies(cache, step, got.keep[b, head], chosen, b, head)
                stood += len(k) - int(got.read[b, head])
                for t in range(tokens):
                    seen_k = torch.cat([k, own_k[b, head, : t + 1]]).double()
                    seen_v = torch.cat([v, own_v[b, head, : t + 1]]).double()
                    q = step.q[b, t, 2 * head : 2 * head + 2].double()
                    wanted = torch.softmax(q @ seen_k.T / 4, -1) @ seen_v
                    torch.testing.assert_close(
                        got.out[b, t, 2 * head : 2 * head + 2].double(),
                        wanted,
                        rtol=1e-3,
                        atol=1e-4,
                    )
    assert stood > 100


def test_mean_values_are_counted(steps, run):
    cache = ReSV(name="resv", params=SMALL.replace(estimate=True)).layer(0, 6)
    got = run(cache, steps)[-1]
    assert got.overhead.tolist() == cache.last.scored.tolist()
    plain = ReSV(name="resv", params=SMALL).layer(0, 6)
    assert torch.equal(got.read, run(plain, steps)[-1].read)


@pytest.mark.parametrize(
    ("other", "told"), [("moment=1", "without moment"), ("cluster_scope=per_layer", "per_layer")]
)
def test_what_does_not_go_with_it_is_told(other, told):
    with pytest.raises(UserError, match=told):
        make(f"resv:estimate=true,{other}")


def test_stand_ins_have_the_precision_of_the_model():
    q, k = (torch.randn(1, n, 2, 16).bfloat16() for n in (3, 8))
    cache = k.transpose(1, 2)
    mean = torch.randn(1, 2, 4, 16)
    stand = Stand(k=mean, v=mean, tokens=torch.tensor([2, 0, 1, 5]).expand(1, 2, 4))
    assert attend(q, cache, cache, None, stand).dtype == torch.bfloat16
