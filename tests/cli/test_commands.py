"""The subcommands do what their packages do, with the options passed on."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from resv_ref import generator, trace
from resv_ref import run as reference
from vrex import Params
from vrex.residency import Policy
from vrex_sim import engine_rtl
from vrex_sim.core_jobs import Setup


@pytest.fixture
def stream(tmp_path):
    params = Params(n_hyperplanes=16, recent_window=20, hash_keys="post_rope")
    made = generator.generate(
        frames=8, tokens=5, q_heads=4, kv_heads=2, head_dim=16, seed=3, params=params
    )
    path = tmp_path / "stream.safetensors"
    trace.write(path, made.tensors(), made.metadata())
    return path


@pytest.mark.parametrize("engine", ["float", "exact"])
def test_run_writes_every_tensor_and_all_parameters(vrex, tmp_path, stream, engine):
    output = tmp_path / "out.safetensors"
    changes = ["--set", "k_max=null", "--set", "text_k_max=3"]
    result = vrex("run", stream, "--engine", engine, *changes, "--json", "-o", output)
    assert result.code == 0
    assert result.err == ""
    assert json.loads(result.out)["tokens"] == 40
    with safe_open(output, "pt") as file:
        assert set(file.keys()) == {
            *("hash_bits", "cluster", "weights", "counts", "row_selected", "selected", "sealed"),
            *("attn_out", "hyperplanes"),
        }
        used = Params.from_json(file.metadata()["resv"])
        engines = json.loads(file.metadata()["engines"])
    assert used.k_max is None
    assert (used.text_k_min, used.text_k_max) == (None, 3)
    assert used.n_hyperplanes == 16
    assert set(engines.values()) == {engine}


@pytest.mark.parametrize("engine", ["float", "exact"])
def test_a_run_with_stand_ins(vrex, tmp_path, stream, engine):
    output = tmp_path / "out.safetensors"
    few = {"recent_window": 5, "hamming_threshold": 0, "k_min": 1, "k_max": 1, "estimate": "true"}
    changes = [text for name, value in few.items() for text in ("--set", f"{name}={value}")]
    result = vrex("run", stream, "--engine", engine, *changes, "--json", "-o", output)
    assert result.code == 0
    assert json.loads(result.out)["stand_ins_per_frame"] > 0
    with safe_open(output, "pt") as file:
        assert Params.from_json(file.metadata()["resv"]).estimate


def test_a_run_in_hardware_tells_where_its_cycles_went(vrex, tmp_path, stream):
    output = tmp_path / "out.safetensors"
    windows = ["--set", "recent_window=12", "--set", "join_window=12", "--set", "cluster_cap=8"]
    options = ["--engine", "compiled", "--config", "tiny", *windows]
    result = vrex("run", stream, *options, "--json", "-o", output)
    assert result.code == 0
    told = json.loads(result.out)
    assert told["mismatches"] == 0
    assert {kind: counts["commands"] > 0 for kind, counts in told["commands"].items()} == {
        "hash": True, "score": True, "attend": True
    }  # fmt: skip
    assert sum(counts["cycles"] for counts in told["commands"].values()) <= told["cycles"]
    for unit in ("hcu", "wtu", "dpe"):
        assert 0 < told["utilisation"][unit] <= 1
        assert {"no_input", "no_output", "nothing_to_do"} <= set(told["idle"][unit])
    with safe_open(output, "pt") as file:
        attended = file.get_tensor("attn_out")
    assert (attended.dtype, list(attended.shape)) == (torch.bfloat16, [8, 5, 4, 16])


def test_settings_win_over_the_mode(vrex, tmp_path, stream):
    output = tmp_path / "out.safetensors"
    arguments = ["--mode", "paper", "--set", "recent_window=30", "--set", "cluster_cap=3"]
    assert vrex("run", stream, *arguments, "-o", output).code == 0
    with safe_open(output, "pt") as file:
        used = Params.from_json(file.metadata()["resv"])
    assert (used.recent_window, used.cluster_cap, used.hamming_threshold) == (30, 3, 7)


def test_the_exact_engine_takes_the_arithmetic_of_the_configuration(vrex, tmp_path, stream):
    outputs = {}
    settings = {"recent_window": 12, "join_window": 12, "cluster_cap": 8}
    changes = [text for n, v in settings.items() for text in ("--set", f"{n}={v}")]
    for name, options in {"core": [], "tiny": ["--config", "tiny"]}.items():
        path = tmp_path / f"{name}.safetensors"
        assert vrex("run", stream, *options, *changes, "-o", path).code == 0
        with safe_open(path, "pt") as file:
            sizes = json.loads(file.metadata()["numerics"])
            outputs[name] = sizes, file.get_tensor("attn_out")
    assert outputs["core"][0] == {"beat": 64, "window": 28}
    assert outputs["tiny"][0] == {"beat": 8, "window": 28}
    given = trace.read(stream, change=lambda p: p.replace(**settings))
    for sizes, attended in outputs.values():
        assert torch.equal(attended, reference.run(given, **sizes)[0]["attn_out"])


def test_a_trace_of_layers_gives_outputs_of_layers(vrex, tmp_path, stream):
    one, path, output = trace.read(stream), tmp_path / "two.safetensors", tmp_path / "out"
    names = ("q", "k", "v")
    trace.write(path, {n: torch.stack([getattr(one, n)] * 2) for n in names}, one.metadata())
    assert vrex("run", path, "-o", output).code == 0
    wanted, _ = reference.run(one)
    with safe_open(output, "pt") as file:
        assert torch.equal(file.get_tensor("attn_out"), torch.stack([wanted["attn_out"]] * 2))
        assert file.get_tensor("hyperplanes").shape == (16, 16)


@pytest.mark.parametrize("engine", ["rtl", "compiled"])
def test_the_hardware_is_told_what_was_chosen(vrex, tmp_path, stream, monkeypatch, engine):
    told = {}

    def run(given, *_, **options):
        told.update(options)
        return reference.run(given)

    monkeypatch.setattr(engine_rtl, "run", run)
    picture = tmp_path / "run.svg"
    arguments = ["run", stream, "--engine", engine, "-o", tmp_path / "out"]
    assert vrex(*arguments).code == 0
    assert told == {"engine": engine, "setup": Setup(), "picture": None}
    chosen = ["--policy", "lru", "--room", "5", "--timeline", picture]
    assert vrex(*arguments, *chosen).code == 0
    setup = Setup(policy=Policy.LRU, room=5)
    assert told == {"engine": engine, "setup": setup, "picture": picture}


def test_what_is_long_is_told_as_json_alone(vrex, tmp_path, stream, monkeypatch):
    def run(given, *_, **options):
        tensors, summary = reference.run(given)
        return tensors, {**summary, "timeline": {"edges": [0, 1]}, "link": {"requests": 3}}

    monkeypatch.setattr(engine_rtl, "run", run)
    arguments = ["run", stream, "--engine", "rtl", "-o", tmp_path / "out"]
    plain = vrex(*arguments).out
    assert "link.requests" in plain and "timeline" not in plain and "metadata" not in plain
    assert json.loads(vrex(*arguments, "--json").out)["timeline"] == {"edges": [0, 1]}


@pytest.mark.parametrize("top", ["kvpu", "hcu", "wtu"])
def test_generate_names_its_files_and_repeats_itself(vrex, tmp_path, top):
    once = vrex("generate", "--config", "tiny", "--top", top, "-o", tmp_path / "one")
    assert once.code == 0
    again = vrex("generate", "--config", "tiny", "--top", top, "-o", tmp_path / "two")
    for first, second in zip(once.out.split(), again.out.split(), strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()
    assert f"{top}.v" in once.out


def test_bench_without_a_library_prints_an_empty_list(vrex, monkeypatch):
    monkeypatch.delenv("VREX_LIBERTY", raising=False)
    result = vrex("bench", "area", "--json")
    assert result.code == 0
    assert json.loads(result.out) == []
    assert "Liberty" in result.err
