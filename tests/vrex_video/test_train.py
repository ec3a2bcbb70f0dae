"""Training, rehearsed: batches that are the same every time, and a run that writes a model."""

import json
import sys
from collections import Counter

import pytest
import torch

from vrex_video import train
from vrex_video.batches import IGNORED, Batches, Course, Phase
from vrex_video.model import Config, VideoModel
from vrex_video.vocabulary import COUNTS, QUESTION_LENGTH, TOKEN, count_token
from vrex_video.weights import load


def course(steps, frames, **settings):
    return Course((Phase(steps, (frames,)),), peak=1e-3, **settings)


TINY = Config(layers=1, width=32, query_heads=2, kv_heads=1, head_dim=16, hidden=32)


def test_a_batch_is_the_same_twice():
    one, two = (Batches(1, course(3, 64), 128)[2] for _ in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for other in (Batches(2, course(3, 64), 128)[2], Batches(1, course(3, 64), 128, first=3)[2]):
        assert not torch.equal(one["camera"], other["camera"])


def test_a_course_without_counting_neither_notes_nor_asks_it():
    counted, plain = (Batches(1, course(1, 96, counting=c), 192)[0] for c in (True, False))
    asks = TOKEN["<count>"]
    assert (counted["text"] == asks).any() and not (plain["text"] == asks).any()
    assert (counted["notes"][..., 4] != IGNORED).any() and (plain["notes"][..., 4] == IGNORED).all()


def test_a_step_is_noted_with_how_often_it_was_done():
    notes = Batches(1, course(1, 192), 192)[0]["notes"][0]
    times = Counter()
    for before, now in zip([None, *notes[:-1]], notes, strict=True):
        if before is None or not torch.equal(before[[0, 2]], now[[0, 2]]):
            times[int(now[0])] += 1
        said = times[int(now[0])]
        assert now[4] == (count_token(said) if said <= COUNTS else IGNORED)


def test_targets_follow_their_questions():
    batch = Batches(1, course(1, 96), 192)[0]
    text, target = batch["text"], batch["target"]
    assert (target[..., : QUESTION_LENGTH - 1] == IGNORED).all()
    later = target[..., QUESTION_LENGTH - 1 : -1]
    following = text[..., QUESTION_LENGTH:]
    sequences = target[..., -1] != IGNORED
    assert sequences.any()
    assert torch.equal(later[sequences], following[sequences])


def test_loss_falls():
    torch.manual_seed(0)
    seen = []
    train.Training(VideoModel(TINY), 1, "cpu", seen.append, workers=0).take(course(8, 40), 0)
    assert seen[-1]["loss"] < seen[0]["loss"]


def test_the_command_writes_a_model(monkeypatch, tmp_path):
    monkeypatch.setattr(train, "Config", lambda: TINY)
    monkeypatch.setattr(train, "COURSES", (course(2, 40), course(1, 48)))
    monkeypatch.setattr(train, "report", lambda folder, device, log, streams: log({"val": 1}))
    arguments = ["train", "-o", str(tmp_path), "--seed", "3", "--device", "cpu", "--workers", "0"]
    monkeypatch.setattr(sys, "argv", arguments)
    train.main()
    model, about = load(tmp_path)
    assert model.config == TINY and about["seed"] == 3
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["seed"] == 3 and lines[-1] == {"val": 1}
    assert [line["step"] for line in lines if "step" in line] == [0, 1, 2]
    later = ["train", "-o", str(tmp_path / "later"), *arguments[3:], "--begin", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", later)
    train.main()
    kept = (tmp_path / "log.jsonl").read_text()
    monkeypatch.setattr(sys, "argv", [*arguments, "--begin", str(tmp_path)])
    with pytest.raises(SystemExit):
        train.main()
    assert (tmp_path / "log.jsonl").read_text() == kept, "what it begins with is not written over"
    lines = [json.loads(line) for line in (tmp_path / "later/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [2]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--seed", "-1"],
        ["--scale", "0"],
        ["--scale", "nan"],
        ["--streams", "0"],
        ["--workers", "-1"],
        ["--device", "tpu"],
        ["--begin", "nowhere"],
    ],
)
def test_bad_options_are_told(monkeypatch, tmp_path, capsys, wrong):
    """In one line, with exit code 2 and no folder left."""
    output = tmp_path / "new"
    monkeypatch.setattr(sys, "argv", ["train", "-o", str(output), "--device", "cpu", *wrong])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and not output.exists()
    assert said.startswith("vrex_video.train: ") and said.count("\n") == 1
    assert wrong[0].strip("-") in said or wrong[1] in said
