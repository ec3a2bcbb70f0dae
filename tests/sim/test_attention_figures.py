"""The figures of attention: their names, what they measure, and that ours is near torch's."""

import pytest
import torch

from resv_ref import trace as traces
from resv_ref.attention import light_attention
from vrex_hw.config import CONFIGS
from vrex_sim.benches import attention_figures as benches
from vrex_sim.benches import examples


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(benches, "SEEDS", (1,))
    monkeypatch.setattr(benches, "FRAME_STEP", 90)


def test_ours_is_near_torchs(few):
    figures = {f["name"]: f["value"] for f in benches.attention_figures(CONFIGS["core"])}
    names = ("max_error", "mean_error", "max_error_torch", "mean_error_torch")
    sets = ("", ".generated", ".video-layer1", ".video-layer4")
    assert set(figures) == {f"attention.{name}{rows}" for name in names for rows in sets}
    for rows in sets:
        ours, theirs = (figures[f"attention.mean_error{x}{rows}"] for x in ("", "_torch"))
        assert 1e-4 < ours < 1.2 * theirs


def test_an_error_is_seen(few, monkeypatch):
    def wrong(q, k, v, limits, **sizes):
        assert sizes == {"beat": 8, "window": 28}
        out = light_attention(q, k, v, limits, **sizes)
        out[3, 5] += 1
        return out

    rows = benches.generated(1, tokens=200)
    monkeypatch.setattr(benches, "light_attention", wrong)
    monkeypatch.setattr(benches, "generated", lambda seed: rows)
    figures = {f["name"]: f["value"] for f in benches.attention_figures(CONFIGS["tiny"])}
    assert 0.9 < figures["attention.max_error"] < 1.1
    assert figures["attention.max_error_torch"] < 0.1


def test_rows_are_those_of_the_issue_and_causal_in_a_trace():
    rows = benches.generated(2)
    assert rows.q.shape == (40, 128) and rows.k.shape == rows.v.shape == (4096, 128)
    assert bool((rows.limits == 4096).all())
    assert not torch.equal(rows.q, benches.generated(3).q)
    source = traces.read(examples.FIRST)
    first = next(benches.of_trace(source))
    before = int(source.frame_lengths[:16].sum())
    assert first.limits.tolist() == [before + t + 1 for t in range(10)] * 4
    assert torch.equal(first.q[10], source.q[16, 0, 1])
    assert torch.equal(first.k[-1], source.k[16, 9, 0]) and len(first.v) == before + 10
