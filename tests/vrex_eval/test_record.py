"""What is recorded of a method is what a plain computation finds."""

import pytest
import torch

from vrex_eval.methods import make
from vrex_eval.record import BINS, Probe, Recorded

LAST = 12


def watched(steps, streams):
    """Return a recorded run of recent-only whose last step was looked at, and what that gave."""
    recorded = Recorded(make("recent", 15), probe=Probe())
    cache = recorded.layer(0, 1)
    for number, step in enumerate(steps[: LAST + 1]):
        recorded.probe.on, recorded.probe.streams = number == LAST, streams
        got = cache.attend(step)
    return recorded, got


@pytest.mark.parametrize("streams", [None, torch.tensor([True, False])])
def test_probe(steps, streams):
    recorded, got = watched(steps, streams)
    seen = recorded.probe.take()
    counted = range(2) if streams is None else range(1)
    step, error, norm, masses = steps[LAST], 0.0, 0.0, []
    for b in counted:
        k = torch.cat([s.k[b] for s in steps[: LAST + 1]])
        v = torch.cat([s.v[b] for s in steps[: LAST + 1]])
        for h in range(4):
            for t in range(5):
                end = got.past + t + 1
                weight = (k[:end, h // 2] @ step.q[b, t, h] / 4).softmax(0)
                masses.append(float(weight[got.past - 15 :].sum()))
                exact = weight @ v[:end, h // 2]
                error += float((got.out[b, t, h] - exact).square().sum())
                norm += float(exact.square().sum())
    assert seen["error"] == [pytest.approx(error, rel=1e-4)]
    assert seen["norm"] == [pytest.approx(norm, rel=1e-4)]
    assert seen["mass_sum"] == [pytest.approx(sum(masses), rel=1e-5)]
    wanted = torch.histc(torch.tensor(masses), BINS, 0, 1)
    assert sum(seen["mass"]) == len(masses)
    assert (torch.tensor(seen["mass"]) - wanted).abs().sum() <= 2, "a rounding at a bin's edge"
    assert max(masses) < 0.999 and recorded.probe.take() is None


def test_tally(steps):
    recorded, _ = watched(steps, None)
    read, fetched, overhead, past = recorded.tally.take()[:, 0]
    assert (past == sum(5 * f for f in range(LAST + 1))).all()
    assert (read == sum(min(15, 5 * f) for f in range(LAST + 1))).all()
    assert not fetched.any() and not overhead.any()
    assert not recorded.tally


def test_a_forks_figures_go_into_the_same_sums(steps):
    recorded, got = watched(steps, None)
    recorded.tally.take()
    cache = recorded.layer(0, 1)
    cache.attend(steps[0])
    fork = cache.fork()
    fork.attend(steps[1])
    assert (recorded.tally.take()[3, 0] == 5).all()
    assert cache.attend(steps[1]).past == fork.store.tokens - 5 == 5
    assert got.past == 5 * LAST
