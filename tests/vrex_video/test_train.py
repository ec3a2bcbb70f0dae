"""Training, rehearsed: batches that are the same every time, and a run that writes a model."""

import json
import sys

import pytest
import torch

from vrex_video import train
from vrex_video.batches import IGNORED, Batches, Phase
from vrex_video.model import Config, VideoModel
from vrex_video.vocabulary import QUESTION_LENGTH
from vrex_video.weights import load

TINY = Config(layers=1, width=32, query_heads=2, kv_heads=1, head_dim=16, hidden=32)


def test_a_batch_is_the_same_twice():
    one, two = (Batches(1, (Phase(3, (64,)),), 128)[2] for _ in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = Batches(2, (Phase(3, (64,)),), 128)[2]
    assert not torch.equal(one["camera"], other["camera"])


def test_targets_follow_their_questions():
    batch = Batches(1, (Phase(1, (96,)),), 192)[0]
    text, target = batch["text"], batch["target"]
    assert (target[..., : QUESTION_LENGTH - 1] == IGNORED).all()
    later = target[..., QUESTION_LENGTH - 1 : -1]
    following = text[..., QUESTION_LENGTH:]
    sequences = target[..., -1] != IGNORED
    assert sequences.any()
    assert torch.equal(later[sequences], following[sequences])


def test_loss_falls(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(train, "Config", lambda: TINY)
    seen = []
    model = train.train(1, (Phase(8, (40,)),), "cpu", seen.append, workers=0)
    assert isinstance(model, VideoModel)
    assert seen[-1]["loss"] < seen[0]["loss"]


def test_the_command_writes_a_model(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "Config", lambda: TINY)
    monkeypatch.setattr(train, "PHASES", (Phase(2, (40,)),))
    monkeypatch.setattr(train, "report", lambda folder, device, log, streams: log({"val": 1}))
    arguments = ["train", "-o", str(tmp_path), "--seed", "3", "--device", "cpu", "--workers", "0"]
    monkeypatch.setattr(sys, "argv", arguments)
    train.main()
    model, about = load(tmp_path)
    assert model.config == TINY and about["seed"] == 3
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["seed"] == 3 and lines[-1] == {"val": 1}


@pytest.mark.parametrize("wrong", [["--seed", "-1"], ["--scale", "0"], ["--streams", "0"]])
def test_bad_options_are_told(monkeypatch, tmp_path, wrong):
    monkeypatch.setattr(sys, "argv", ["train", "-o", str(tmp_path), "--device", "cpu", *wrong])
    with pytest.raises(SystemExit, match=r"vrex_video.train: --seed"):
        train.main()
