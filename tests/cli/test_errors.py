"""Bad input ends in one line on stderr, exit code 2, and nothing half-written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

TRACE = Path(__file__).parents[2] / "examples" / "video-layer1.safetensors"


def assert_refused(result, *fragments):
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("vrex: ")
    assert result.err.count("\n") == 1
    for fragment in fragments:
        assert fragment in result.err


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["nonsense"], ["nonsense"]),
        (["generate", "--config", "huge"], ["'huge'", "core, ulx3s, tiny"]),
        (["generate", "--config", "missing.toml"], ["missing.toml"]),
        (["generate", "--top", "alu"], ["alu", "kvpu"]),
        (["synth", "--board", "breadboard"], ["breadboard", "ulx3s-85f"]),
        (["synth"], ["--board"]),
        (["bench", "poetry"], ["poetry", "rtl"]),
        (["bench", "area", "--liberty", "missing.lib"], ["missing.lib"]),
        (["formal", "fermat"], ["fermat"]),
    ],
)
def test_unknown_names(vrex, tmp_path, monkeypatch, arguments, fragments):
    monkeypatch.chdir(tmp_path)
    assert_refused(vrex(*arguments), *fragments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--engine", "analog"], ["analog", "float, exact, rtl"]),
        (["--mode", "best"], ["best", "recommended"]),
        (["--set", "k_mim=3"], ["k_mim"]),
        (["--set", "k_min"], ["NAME=VALUE"]),
        (["--set", "k_min=0"], ["k_min", "0"]),
        (["--set", "text_k_min=0"], ["text_k_min", "0"]),
        (["--set", "text_k=1"], ["NAME=VALUE", "text_k_max"]),
        (["--set", "k_min=many"], ["k_min", "many"]),
        (["--set", "wicsum_ratio=1.5"], ["wicsum_ratio", "1.5"]),
        (["--set", "score_temperature=3"], ["score_temperature", "power of two"]),
        (["--set", "score_map=raw"], ["raw", "float"]),
        (["--set", "query=previous_layer"], ["q_retrieve"]),
        (["--config", "huge"], ["huge"]),
        (["--set", "score_map=" + "[" * 100_000], ["score_map"]),
        (["--engine", "rtl", "--config", "huge"], ["huge"]),
        (["--engine", "rtl", "--set", "cluster_bits=mean"], ["mean", "float"]),
        (["--engine", "rtl", "--set", "estimate=true"], ["estimate", "rtl engine", "exact"]),
        (["--engine", "compiled", "--set", "estimate=true"], ["estimate", "compiled engine"]),
        (["--set", "estimate=1"], ["estimate", "true or false"]),
        (
            ["--engine", "float", "--set", "estimate=true", "--set", "attend_recent=false"],
            ["estimate", "attend_recent"],
        ),
        (["--engine", "rtl", "--config", "tiny"], ["join_window", "joinable"]),
        (["--timeline", "run.png"], ["--timeline", "exact", "compiled or rtl"]),
        (["--policy", "lru"], ["--policy", "exact", "compiled or rtl"]),
        (["--engine", "float", "--room", "0"], ["--room", "float", "compiled or rtl"]),
        (["--engine", "rtl", "--policy", "mru"], ["mru", "lru, frequency"]),
        (["--engine", "rtl", "--room", "-1"], ["--room", "-1"]),
        (["--engine", "rtl", "--room", "many"], ["--room", "many"]),
        (["--engine", "compiled", "--config", "core", "--room", "1025"], ["room", "1024", "1025"]),
        (["--engine", "rtl", "--timeline", "run.gif"], ["run.gif", "png, svg, pdf"]),
        (["--engine", "compiled", "--timeline", "none/run.png"], ["none", "does not exist"]),
        (["--engine", "compiled", "--timeline", "."], ["png, svg, pdf"]),
    ],
)
def test_run_refuses(vrex, tmp_path, arguments, fragments):
    output = tmp_path / "out.safetensors"
    assert_refused(vrex("run", TRACE, "-o", output, *arguments), *fragments)
    assert not any(tmp_path.iterdir())


def damaged(tensors, how):
    tensors = dict(tensors)
    if how == "dtype":
        tensors["q"] = tensors["q"].float()
    elif how == "shape":
        tensors["k"] = tensors["k"][:, :, :, :32].contiguous()
    elif how == "nan":
        tensors["v"] = tensors["v"].clone()
        tensors["v"][3, 2, 1, 5] = float("nan")
    elif how == "missing":
        del tensors["k"]
    elif how == "lengths":
        tensors["frame_lengths"] = torch.full_like(tensors["frame_lengths"], 11)
    elif how == "heads":
        tensors["q"] = tensors["q"][:, :, :7].contiguous()
    elif how == "planes":
        tensors["hyperplanes"] = torch.ones(16, 64, dtype=torch.bfloat16)
    return tensors


@pytest.mark.parametrize(
    ("how", "fragments"),
    [
        ("dtype", ["q", "F32", "BF16"]),
        ("shape", ["k", "32"]),
        ("nan", ["v", "[3, 2, 1, 5]"]),
        ("missing", ["k"]),
        ("lengths", ["frame_lengths", "11"]),
        ("heads", ["7", "2"]),
        ("planes", ["hyperplanes", "16"]),
    ],
)
def test_damaged_tensors(vrex, tmp_path, how, fragments):
    trace = tmp_path / "trace.safetensors"
    save_file(damaged(load_file(TRACE), how), trace)
    output = tmp_path / "out.safetensors"
    assert_refused(vrex("run", trace, "-o", output), "trace.safetensors", *fragments)
    assert not output.exists()


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64])
def test_not_safetensors(vrex, tmp_path, content):
    trace = tmp_path / "trace.safetensors"
    trace.write_bytes(content)
    assert_refused(vrex("run", trace, "-o", tmp_path / "out.safetensors"), "trace.safetensors")


def test_truncated(vrex, tmp_path):
    trace = tmp_path / "trace.safetensors"
    trace.write_bytes(TRACE.read_bytes()[:100_000])
    assert_refused(vrex("run", trace, "-o", tmp_path / "out.safetensors"), "trace.safetensors")


def test_missing_trace(vrex, tmp_path):
    assert_refused(
        vrex("run", tmp_path / "no.safetensors", "-o", tmp_path / "out"), "no.safetensors"
    )


def test_output_over_the_trace(vrex, tmp_path):
    trace = tmp_path / "trace.safetensors"
    trace.write_bytes(TRACE.read_bytes())
    assert_refused(vrex("run", trace, "-o", trace), "is the trace")
    assert trace.read_bytes() == TRACE.read_bytes()


def test_a_timeline_over_the_trace_or_the_output(vrex, tmp_path):
    trace, output = tmp_path / "trace.png", tmp_path / "out.svg"
    trace.write_bytes(TRACE.read_bytes())
    run = ("run", trace, "--engine", "compiled", "-o", output, "--timeline")
    assert_refused(vrex(*run, trace), "is the trace")
    assert_refused(vrex(*run, tmp_path / "." / "out.svg"), "is the output")
    assert trace.read_bytes() == TRACE.read_bytes() and not output.exists()


@pytest.mark.parametrize("engine", ["exact", "rtl"])
def test_head_dimension_that_the_configuration_lacks(vrex, tmp_path, engine):
    custom = tmp_path / "narrow.toml"
    custom.write_text("head_dims = [128]\n")
    result = vrex("run", TRACE, "--engine", engine, "--config", custom, "-o", tmp_path / "out")
    assert_refused(result, "head", "64", "128")


@pytest.mark.parametrize("command", [["generate"], ["run", TRACE]])
def test_output_that_cannot_be_written(vrex, tmp_path, command):
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert_refused(vrex(*command, "-o", blocker / "inside"), str(blocker))


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("[wtu]\nlanes = 12\n", ["wtu.lanes", "12", "8 or 16"]),
        ("[wtu]\nlane = 8\n", ["wtu.lane", "lanes"]),
        ("[hcu]\nwidth = 64\n", ["hcu.width", "64", "32"]),
        ("head_dims = []\n", ["head_dims"]),
        ("wtu = 3\n", ["wtu", "table"]),
        ('name = "a\\nmodule x;"\n', ["name", "letters"]),
        ('name = "\u00e9"\n', ["name", "letters"]),
        ("= broken", ["own.toml"]),
    ],
)
def test_configuration_file(vrex, tmp_path, text, fragments):
    own = tmp_path / "own.toml"
    own.write_text(text)
    result = vrex("generate", "--config", own, "-o", tmp_path / "out")
    assert_refused(result, *fragments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--method", "magic"], ["magic", "recommended"]),
        (["--method", "chunks:size=none"], ["size", "None"]),
        (["--method", "chunks", "--budget", "-2"], ["budget", "-2"]),
        (["--budget", "much"], ["much"]),
        (["--sweep", "--budget", "2"], ["--sweep"]),
        (["--streams", "0"], ["streams is 0"]),
        (["--device", "abacus"], ["abacus", "--device cpu"]),
        (["--probe", "-1"], ["--probe"]),
    ],
)
def test_eval_refuses_bad_settings(vrex, tmp_path, arguments, fragments):
    assert_refused(vrex("eval", *arguments, "-o", tmp_path / "results"), *fragments)
    assert not any(tmp_path.iterdir())
