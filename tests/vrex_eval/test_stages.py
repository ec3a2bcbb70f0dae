"""Frames and text may have budgets of their own."""

import pytest
import torch

from vrex import UserError
from vrex_eval.methods import make

TEXT = slice(30, 36)
SMALL = {"sinks": 4, "recent": 20}


@pytest.mark.parametrize(
    ("name", "frame", "text"),
    [
        ("chunks", 3, 1),
        ("quest", 2, 1),
        ("rekv", 8, 3),
        ("streaming", 40, 10),
        ("oracle_topk", 4, 1),
        ("oracle_topp", 0.9, 0.5),
        ("infinigenp:calibration=40", 0.5, 0.1),
        ("topk_clusters", 4, 1),
        ("resv:k_min=1", 0.6, 0.1),
    ],
)
def test_each_stage_has_its_own_budget(steps, run, name, frame, text):
    joint = name + (":" if ":" not in name else ",") + f"text_budget={text}"
    got = run(make(joint, frame, **SMALL).layer(3, 6), steps)
    of_frames = run(make(name, frame, **SMALL).layer(3, 6), steps)
    of_text = run(make(name, text, **SMALL).layer(3, 6), steps)
    for n in range(1, 36):
        wanted = of_text[n] if n >= TEXT.start else of_frames[n]
        assert torch.equal(got[n].read, wanted.read)
    assert any(not torch.equal(of_text[n].read, of_frames[n].read) for n in range(30, 36))


@pytest.mark.parametrize("name", ["resv:mode=recommended", "resv_exact:mode=recommended"])
def test_resv_selects_by_other_parameters_at_text(steps, run, name):
    few = "text_k_min=1,text_k_max=1"
    got = run(make(f"{name},{few}", **SMALL).layer(0, 6), steps)
    of_frames = run(make(name, **SMALL).layer(0, 6), steps)
    of_text = run(make(f"{name},{few.replace('text_', '')}", **SMALL).layer(0, 6), steps)
    for n in range(1, 36):
        wanted = of_text[n] if n >= TEXT.start else of_frames[n]
        assert torch.equal(got[n].keep if got[n].past else got[n].read, wanted.keep)
    assert of_text[-1].read.sum() < of_frames[-1].read.sum()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("full:text_budget=1", "no budget"),
        ("oaken:text_budget=1", "stored once"),
        ("chunks:text_budget=-1", "text_budget is -1"),
        ("resv:text_budget=2", "wicsum_ratio"),
        ("resv:text_hamming_threshold=2", "SETTING=VALUE"),
        ("resv_exact:text_score_map=raw", "raw"),
        ("topk_clusters:text_budget=0.5", "whole number"),
    ],
)
def test_bad_text_settings_are_refused(spec, says):
    with pytest.raises(UserError, match=says):
        make(spec)
