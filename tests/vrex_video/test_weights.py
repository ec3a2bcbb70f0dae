"""Weights come back as they were written; files that are not a model are refused in one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vrex import UserError
from vrex_video.benchmark import SHIPPED
from vrex_video.measure import measure
from vrex_video.model import Config, VideoModel
from vrex_video.stream import Split
from vrex_video.weights import FILE, load, save

CONFIG = Config(layers=1, width=32, query_heads=4, kv_heads=2, head_dim=16, hidden=48)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save(VideoModel(CONFIG), tmp_path, seed=4)
    return tmp_path


def test_there_and_back(folder):
    model, about = load(folder)
    assert about == {"seed": 4} and model.config == CONFIG and not model.training
    for name, value in load_file(folder / FILE).items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(model.state_dict()[name], value.float())


def change(folder, tensors=None, **meta):
    path = folder / FILE
    entries = {"config": json.dumps(vars(CONFIG)), "about": "{}"} | meta
    save_file(tensors or load_file(path), path, metadata=entries)


def refused(folder, part):
    with pytest.raises(UserError, match=part) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    refused(tmp_path, "no weights.safetensors in")


def test_not_a_safetensors_file(folder):
    (folder / FILE).write_bytes(b"{}" * 40)
    refused(folder, "not a safetensors file")


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        json.dumps(vars(CONFIG) | {"layers": -1}),
        json.dumps(vars(CONFIG) | {"kv_heads": 3}),
    ],
)
def test_bad_config(folder, config):
    change(folder, config=config)
    refused(folder, "config")


def test_bad_tensors(folder):
    tensors = load_file(folder / FILE)
    change(folder, {**tensors, "more": torch.zeros(1)})
    refused(folder, "more")
    change(folder, {**tensors, "norm.weight": torch.zeros(31)})
    refused(folder, "norm.weight is")
    change(folder, {**tensors, "norm.weight": torch.full((32,), torch.nan)})
    refused(folder, "not finite")
    del tensors["norm.weight"]
    change(folder, tensors)
    refused(folder, "no tensor norm.weight")


def test_the_shipped_model_answers_and_needs_its_memory():
    model, about = load(SHIPPED)
    assert about["seed"] == 1 and (SHIPPED / FILE).stat().st_size < 25e6
    full = measure(model, Split.VAL, range(2), 410, batch=1)
    recent = measure(model, Split.VAL, range(2), 410, batch=1, window=400)
    for kind in ("step", "next", "task", "proc", "proc_plus", "before"):
        assert full[kind][0] > 0.8, kind
    assert full["recall"][0] > 0.6
    assert recent["recall"][0] < 0.3 and recent["before"][0] < 0.3
