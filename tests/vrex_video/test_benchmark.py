"""The model and its streams as the evaluation takes them, with random weights."""

import json

import pytest
import torch
from safetensors.torch import save_file

from vrex import UserError
from vrex_eval.methods import make
from vrex_video import benchmark, weights
from vrex_video.model import Config, VideoModel

SMALL = Config(layers=2, width=32, query_heads=4, kv_heads=2, head_dim=16, hidden=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    weights.save(VideoModel(SMALL), folder, seed=3)
    return folder


def test_streams_and_questions_are_the_same_each_time(folder):
    loaded = benchmark.load(folder, None, "cpu")
    assert (loaded.seed, loaded.layers) == (3, 2)
    one, two = loaded.batch(800, 5, 2), loaded.batch(800, 5, 2)
    assert torch.equal(one.frames, two.frames) and one.questions == two.questions
    assert one.frames.shape[:2] == (2, 80)
    assert {q.stream for q in one.questions} == {0, 1}
    assert {q.kind for q in one.questions} <= set(loaded.kinds)
    other = loaded.batch(800, 6, 1)
    assert torch.equal(other.frames[0], one.frames[1])


def test_the_command_runs_on_it(vrex, tmp_path, folder):
    given = ("--model", folder, "--context", 800, "--streams", 1, "--recent", 64)
    result = vrex("eval", *given, "--method", "chunks", "-o", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    cells = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {cell["method"] for cell in cells} == {"chunks"}
    both = (*given, "--method", "chunks", "--method", "recent", "--method", "full", "--jobs", 2)
    result = vrex("eval", *both, "-o", tmp_path / "two")
    assert (result.code, result.err) == (0, "")
    again = json.loads((tmp_path / "two" / "results.json").read_text())
    assert {cell["method"] for cell in again} == {"chunks", "recent", "full"}
    assert [cell for cell in again if cell["method"] == "chunks"] == cells
    # Other streams are other results: not in one folder.
    result = vrex("eval", *given, "--split", "val", "--method", "chunks", "-o", tmp_path / "out")
    assert result.code == 2 and "test streams" in result.err and "val streams" in result.err
    output = tmp_path / "trace.safetensors"
    result = vrex("capture", folder, "--layer", 1, "--context", 800, "-o", output)
    assert (result.code, result.err) == (0, "")


def test_streams_of_ones_own(tmp_path, folder):
    made = benchmark.load(folder, None, "cpu").batch(800, 0, 1)
    asked = [
        {"kind": q.kind, "frame": q.frame, "text": q.text, "answer": q.answer, "distance": 10}
        for q in made.questions
    ]
    save_file(
        {"frames": made.frames[0].contiguous()},
        tmp_path / "a.safetensors",
        {"questions": json.dumps(asked)},
    )
    own = benchmark.load(folder, tmp_path, "cpu")
    again = own.batch(800, 0, 1)
    assert torch.equal(again.frames, made.frames) and len(again.questions) == len(asked)
    watching = own.begin(make("full"))
    assert watching.frame(again.frames[:, 0]).shape == (1, 10, 32)
    with pytest.raises(UserError, match="holds 1 streams, not 2"):
        own.batch(800, 1, 1)
    with pytest.raises(UserError, match="80 frames, not 90"):
        own.batch(900, 0, 1)
    with pytest.raises(UserError, match="holds no streams"):
        benchmark.load(folder, folder / "none", "cpu")
    save_file({"frames": made.frames[0].contiguous()}, tmp_path / "0.safetensors")
    with pytest.raises(UserError, match="no stream with questions"):
        own.batch(800, 0, 1)
