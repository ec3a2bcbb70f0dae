"""On the trace that ships with the project: batched against float, and float against exact."""

import dataclasses
from pathlib import Path

import pytest
import torch

from resv_ref import ReSV
from resv_ref import trace as traces
from resv_ref.generator import generate
from resv_ref.run import frame
from vrex import Params
from vrex.params import MODE_CHANGES
from vrex_eval.agreement import agreement
from vrex_eval.method import Stage, Step
from vrex_eval.methods.resv import ReSV as Batched

EXAMPLE = Path(__file__).parents[2] / "examples" / "video-layer1.safetensors"
FRAMES = 60


@pytest.mark.parametrize("mode", MODE_CHANGES)
def test_batched_selects_as_the_reference_on_a_real_trace(mode):
    trace = traces.read(EXAMPLE)
    params = trace.params.with_mode(mode)
    resv = ReSV(params, engine="float")
    cache = Batched(name="resv", params=params).layer(0, 6)
    rows = different = 0
    for number in range(FRAMES):
        own = frame(trace, number)
        q, k, v, plain = (own[name].float()[None] for name in ("q", "k", "v", "k_hash"))
        step = Step(q=q, k=k, v=v, q_plain=q, k_plain=plain, stage=Stage.FRAME)
        cache.attend(step)
        wanted = resv.step(own["q"], own["k"], own["v"], own["k_hash"])
        got = cache.tables.cluster_of.first(resv.stored)[:, -q.shape[1] :].T
        assert torch.equal(got.int(), wanted.cluster)
        if number and wanted.counts.shape[1]:
            selected = cache.last.selected[0].unflatten(1, (-1, q.shape[1])).flatten(0, 1)
            rows += selected[..., 0].numel()
            different += int((selected != wanted.row_selected).any(-1).sum())
    assert rows > 2000 and different <= 0.001 * rows


def test_agreement_counts_rows_that_select_the_same():
    trace = generate(20, 5, 4, 2, 16, seed=3, params=Params(recent_window=12, join_window=8))
    share = agreement(trace)
    assert 0.9 < share["rows"] <= 1 and 0.8 < share["unions"] <= 1
    early = dataclasses.replace(trace, params=Params(recent_window=10_000))
    assert agreement(early) == {"rows": 1.0, "unions": 1.0}
