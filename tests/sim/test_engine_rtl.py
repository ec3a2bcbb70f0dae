"""The rtl and compiled engines: small streams of many shapes through the core's Verilog."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from resv_ref import generator
from resv_ref import run as reference
from resv_ref import trace as traces
from vrex import Params, UserError
from vrex.residency import Policy
from vrex_cli.app import main
from vrex_hw.config import CONFIGS
from vrex_hw.models.system import emit
from vrex_sim import engine_rtl, sizing
from vrex_sim.compare import MismatchError
from vrex_sim.core_jobs import Setup

TINY = CONFIGS["tiny"]
LINES_LOG2 = 17
"""Of device memory: five heads and their tensors fit."""
SMALL = Params(recent_window=12, join_window=8, cluster_cap=3, n_sinks=3, k_min=2, k_max=5)
TEXT = SMALL.replace(wicsum_ratio=0.5, text_k_min=1, text_k_max=2)


@pytest.fixture(scope="module")
def tiny():
    """A system of the tiny core, with memory for every trace here."""
    return emit(TINY, 1 << LINES_LOG2, 1 << 13)


def stack(parts):
    """Return a trace of several layers."""
    names = ("q", "k", "v", "k_hash", "q_retrieve")
    given = {name: [getattr(part, name) for part in parts] for name in names}
    stacked = {name: torch.stack(of) for name, of in given.items() if of[0] is not None}
    return dataclasses.replace(parts[0], **stacked)


def stream(
    frames=14, tokens=4, q_heads=4, kv_heads=2, d=8, seed=1, params=SMALL, text_steps=0, turns=False
):
    """Return a trace; ``turns``: its frames are text two by two, whatever their length."""
    trace = generator.generate(
        frames, tokens, q_heads, kv_heads, d, seed, params, text_steps=text_steps
    )
    return dataclasses.replace(trace, text=torch.arange(frames) % 4 > 1) if turns else trace


SHAPES = {
    "two heads, a group of two": {},
    "a group of one": {"q_heads": 2, "kv_heads": 2, "seed": 2},
    "one head, which resumes": {"q_heads": 3, "kv_heads": 1, "seed": 3},
    "five heads, more than a queue": {"q_heads": 5, "kv_heads": 5, "frames": 9, "seed": 4},
    "one token a frame": {"tokens": 1, "frames": 40, "seed": 5},
    "text steps": {"text_steps": 6, "frames": 16, "seed": 6},
    "text steps with their own cap": {"text_steps": 6, "frames": 16, "params": TEXT, "seed": 6},
    "frames and text in turn": {"params": TEXT, "turns": True, "seed": 15},
    "nothing is ever sealed": {"frames": 3, "seed": 7},
    "a frame of sinks": {"frames": 8, "params": SMALL.replace(n_sinks=8), "seed": 8},
    "fewer planes": {"params": SMALL.replace(n_hyperplanes=20, hamming_threshold=4), "seed": 9},
    "no cap, all of the row": {"params": SMALL.replace(k_max=None, wicsum_ratio=1.0), "seed": 10},
    "the cap bites": {"params": SMALL.replace(wicsum_ratio=1.0), "seed": 13},
    "every token in one cluster": {"params": SMALL.replace(hamming_threshold=65), "seed": 11},
    "shift_min, no sinks": {"params": SMALL.replace(score_map="shift_min", n_sinks=0), "seed": 12},
}


@pytest.mark.parametrize("engine", ["rtl", "compiled"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_hardware_agrees_in_every_element(tiny, shape, engine):
    trace = stream(**shape)
    stalls = 0.3 if trace.params.n_sinks else 0.0
    expected, _ = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    got, summary = engine_rtl.run(
        trace, config=TINY, verilog=tiny, idle=stalls, stall=stalls, engine=engine
    )
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name
    assert summary["mismatches"] == 0
    rows = (expected["sealed"] > 0).sum(1) * trace.frame_lengths
    group = trace.q_heads // trace.kv_heads
    assert summary["counters"]["wtu_rows"] == int(rows.sum()) * group
    assert 0 < summary["utilisation"]["hcu"] <= 1
    check_cycles(summary)
    check_traffic(summary, expected, trace)


@pytest.mark.parametrize(
    "changes", [{"text_k_min": 2}, {"text_k_max": 5}, {"text_k_min": 2, "text_k_max": 1}]
)
@pytest.mark.parametrize("shape", ["text steps with their own cap", "frames and text in turn"])
def test_shapes_with_text_show_what_it_selects_by(shape, changes):
    """A floor or a cap of frames', or one in the other's place, gives other rows, at text alone."""
    trace = stream(**SHAPES[shape])
    wanted, _ = reference.run(trace)
    other, _ = reference.run(trace, TEXT.replace(**changes))
    differ = (wanted["row_selected"] != other["row_selected"]).flatten(1).any(1)
    assert differ.any() and not differ[~trace.text_steps].any()


def check_cycles(summary):
    """Every cycle of a unit is work or has a reason; commands are those of the DPE."""
    cycles, idle = summary["cycles"], summary["idle"]
    assert set(summary["cycles_by_unit"]) == set(idle) == {"hcu", "wtu", "dpe"}
    commands = summary["commands"]
    assert set(commands) == {"hash", "score", "attend"}
    beats = sum(kind["beats"] for kind in commands.values())
    assert beats + sum(idle["dpe"].values()) == cycles
    assert sum(kind["cycles"] for kind in commands.values()) == summary["cycles_by_unit"]["dpe"]
    assert summary["utilisation"]["dpe"] == beats / cycles
    for unit, reasons in idle.items():
        assert {"no_input", "no_output", "nothing_to_do"} <= set(reasons)
        assert min(reasons.values()) >= 0
        stalled = sum(count for reason, count in reasons.items() if reason != "nothing_to_do")
        assert stalled <= summary["cycles_by_unit"][unit]


def check_traffic(summary, expected, trace):
    """What moves between device memory and host follows from what was sealed and selected."""
    counters, link = summary["counters"], summary["link"]
    counts = expected["counts"] * expected["selected"]
    assert counters["jobs"] == trace.frames * trace.kv_heads
    assert counters["jobs_failed"] == 0
    assert counters["clusters_chosen"] == int(expected["selected"].sum())
    assert counters["tokens_chosen"] == int(counts.sum())
    assert counters["tokens_fetched"] <= counters["tokens_chosen"]
    lines = 2 * -(-trace.head_dim // TINY.lxe.side)  # of a token: its key and its value
    assert counters["link_lines_in"] == lines * counters["tokens_fetched"]
    assert link["bytes_in"] == 2 * TINY.lxe.side * counters["link_lines_in"]
    total = link["bytes_in"] + link["bytes_out"]
    assert link["mean_request_bytes"] == total / max(1, link["requests"])
    assert 0 <= summary["prediction_hidden"] <= 1
    assert sum(summary["least_cycles"].values()) <= summary["cycles"]
    assert summary["memory_bytes"] <= (1 << LINES_LOG2) * 2 * TINY.lxe.side


LAYERS = {
    "same_layer, fences": {},
    "previous_layer, none": {"query": "previous_layer"},
    "nothing stays": {"room": 0},
    "three slots, lru": {"room": 3, "policy": Policy.LRU},
}


@pytest.mark.parametrize("told", LAYERS.values(), ids=LAYERS.keys())
def test_two_layers_agree_in_every_element(tiny, told):
    changes = {"query": told["query"]} if "query" in told else {}
    given = {"params": TEXT.replace(**changes), "text_steps": 3, "turns": True}
    trace = stack([stream(**given, seed=seed) for seed in (30, 31)])
    setup = Setup(**{name: value for name, value in told.items() if name != "query"})
    got, summary = engine_rtl.run(
        trace, config=TINY, verilog=tiny, setup=setup, engine="compiled", stall=0.2
    )
    expected, _ = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype and torch.equal(got[name], tensor), name
    assert got["cluster"].shape == (2, 14, 4, 2)
    assert summary["counters"]["jobs"] == 2 * 2 * 14
    assert summary["setup"] == {
        "policy": setup.policy.name.lower(),
        "room": TINY.kvmu.resident_slots if setup.room is None else setup.room,
        "fences": not changes,
    }
    if setup.room == 0:
        assert summary["residency"] == {"hit_rate": 0, "fetched_over_selected": 1}
    else:
        assert summary["residency"]["hit_rate"] > 0


def test_a_mismatch_in_a_layer_is_told_in_the_traces_own_indices(tiny, monkeypatch):
    monkeypatch.setattr(engine_rtl.runner, "waveform", lambda *a, **k: Path("short.vcd"))
    trace = stack([stream(frames=9, seed=seed) for seed in (32, 33)])
    expected, _ = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    for name, index in (("cluster", (1, 5, 1, 0)), ("weights", (1, 8, 3, 2, 1))):
        wrong = {k: v.clone() for k, v in expected.items()}
        wrong[name][index] += 1
        with pytest.raises(MismatchError, match=re.escape(f"{name}{list(index)} is ")):
            engine_rtl.run(trace, config=TINY, verilog=tiny, expected=wrong, engine="compiled")


def test_a_run_leaves_a_picture(tiny, tmp_path):
    path = tmp_path / "run.png"
    _, summary = engine_rtl.run(
        stream(frames=6), config=TINY, verilog=tiny, engine="compiled", picture=path
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    edges = summary["timeline"]["edges"]
    assert edges[-1] - edges[0] == pytest.approx(summary["cycles"])
    for unit, busy in summary["active_cycles"].items():
        shares = summary["timeline"][unit]
        assert len(shares) == len(edges) - 1
        assert np.mean(shares) * summary["cycles"] == pytest.approx(busy, rel=0.01, abs=20)


@pytest.mark.parametrize("stalls", [0.0, 0.3])
def test_both_engines_agree_in_every_cycle(tiny, stalls, monkeypatch):
    given = {}
    decode = engine_rtl.CoreJobs.decode

    def keep(work, result, expected):
        given[engine] = result
        return decode(work, result, expected)

    monkeypatch.setattr(engine_rtl.CoreJobs, "decode", keep)
    trace = stream(seed=14)
    for engine in ("rtl", "compiled"):
        engine_rtl.run(trace, config=TINY, verilog=tiny, idle=stalls, stall=stalls, engine=engine)
    assert given["rtl"].keys() == given["compiled"].keys()
    for name, value in given["rtl"].items():
        assert np.array_equal(value, given["compiled"][name]), name
    assert len(given["rtl"]["row_cycle"]) > 100


def test_hardware_is_sized_for_a_trace():
    trace = stream(tokens=3, params=SMALL.replace(n_hyperplanes=24, recent_window=20), seed=20)
    expected, _ = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    sized = engine_rtl.size(trace, trace.params, expected)
    assert sized.lxe.side == 64, "the default of the exact engine"
    assert sized.hcu.hyperplanes == 24
    assert sized.hcu.open == 32
    told = []
    got, summary = engine_rtl.run(
        trace,
        config=dataclasses.replace(
            sized,
            lxe=TINY.lxe,
            wtu=TINY.wtu,
            kvmu=dataclasses.replace(sized.kvmu, bus_bytes=TINY.kvmu.bus_bytes),
        ),
        progress=lambda done, total: told.append((done, total)),
    )
    assert torch.equal(got["selected"], expected["selected"])
    assert torch.equal(got["attn_out"], expected["attn_out"])
    assert json.loads(summary["metadata"]["engines"]) == dict.fromkeys(reference.STEPS, "rtl")
    assert told[-1][1] == 2 * trace.frames
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_windows_beyond_the_stream_mean_the_whole_stream(tiny):
    trace = stream(frames=10, params=SMALL.replace(recent_window=1 << 31, join_window=8), seed=21)
    _, summary = engine_rtl.run(trace, config=TINY, verilog=tiny)
    assert summary["counters"]["wtu_rows"] == 0


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("row_selected", (9, 1, 2, 3)),
        ("cluster", (5, 1, 0)),
        ("sealed", (8, 1)),
        ("weights", (9, 1, 2, 3)),
        ("hash_bits", (6, 1, 0)),
        ("attn_out", (4, 3, 2, 5)),
    ],
)
def test_a_mismatch_names_its_place(tiny, monkeypatch, name, index):
    shown = []
    monkeypatch.setattr(
        engine_rtl.runner, "waveform", lambda *a, **k: shown.append(a[-1]) or Path("short.vcd")
    )
    trace = stream()
    expected, _ = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    wrong = {k: v.clone() for k, v in expected.items()}
    wrong[name][index] = 1 - wrong[name][index].to(torch.float64)
    with pytest.raises(MismatchError) as caught:
        engine_rtl.run(trace, config=TINY, verilog=tiny, expected=wrong)
    place = re.escape(f"{name}[{', '.join(map(str, index))}]")
    pattern = rf"1 mismatch.*core, cycle (\d+): {place} is .+, expected .+\n  waveform: short.vcd"
    found = re.search(pattern, str(caught.value))
    assert found, caught.value
    assert shown[0].last_cycle > int(found[1]) > shown[0].first_cycle


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"d": 24}, r"head_dims is \[8, 16, 32, 64\]: the trace has head dimension 24"),
        (
            {"params": SMALL.replace(n_hyperplanes=40)},
            r"hcu.hyperplanes is 32: n_hyperplanes is 40",
        ),
        (
            {"params": SMALL.replace(recent_window=20, join_window=20)},
            r"hcu.joinable is 16: join_window is 20",
        ),
        (
            {"params": SMALL.replace(recent_window=70), "frames": 20},
            r"hcu.open is 64: recent_window \+ T is 74",
        ),
        ({"params": SMALL.replace(cluster_cap=99)}, r"slot_tokens is \d+: cluster_cap is"),
        (
            {"params": SMALL.replace(hamming_threshold=0), "frames": 30},
            r"wtu.entries is 64: the most sealed clusters is \d+",
        ),
    ],
)
def test_a_trace_that_does_not_fit_is_refused(shape, says, monkeypatch):
    if "entries" not in says:
        monkeypatch.setattr(engine_rtl.reference, "run", None)  # refused before anything runs
    with pytest.raises(UserError, match=says):
        engine_rtl.run(stream(**shape), config=TINY)


def test_what_no_core_can_be_told_is_refused_before_anything_runs(tiny, monkeypatch):
    """A frame of more rows than a job has, chunks that are no power of two, too small a system."""
    monkeypatch.setattr(engine_rtl.reference, "run", None)
    wide = dataclasses.replace(TINY, hcu=dataclasses.replace(TINY.hcu, open=16384))
    huge = stream(frames=1, tokens=16_000, q_heads=5, kv_heads=1)
    with pytest.raises(UserError, match=r"rows of a job .* is 80000: the core takes 65535"):
        engine_rtl.run(huge, config=wide)
    odd = dataclasses.replace(TINY, head_dims=(24,))
    with pytest.raises(UserError, match=r"head_dims has 24: it must be lxe.side, 8, times a power"):
        engine_rtl.run(stream(d=24), config=odd)
    with pytest.raises(UserError, match=r"head_dims has 160: it must be lxe.side, 64, times a p"):
        engine_rtl.run(stream(frames=2, d=160))
    large = stream(frames=400, tokens=16, kv_heads=4, d=16)
    with pytest.raises(UserError, match=rf"has {1 << LINES_LOG2} lines of memory: the run takes"):
        engine_rtl.run(large, config=TINY, verilog=tiny)


def test_room_that_the_hardware_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(engine_rtl.reference, "run", None)
    slots = TINY.kvmu.resident_slots
    with pytest.raises(UserError, match=rf"kvmu.resident_slots is {slots}: room is {slots + 1}"):
        engine_rtl.run(stream(), config=TINY, setup=Setup(room=slots + 1))
    with pytest.raises(UserError, match="room is 5000: the rtl engine takes 4096 at most"):
        engine_rtl.run(stream(), setup=Setup(room=5000))
    assert sizing.size_for(stream(), SMALL, 0, room=100).kvmu.resident_slots == 128


def test_a_picture_that_cannot_be_made_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_rtl.reference, "run", None)
    with pytest.raises(UserError, match="does not exist"):
        engine_rtl.run(stream(), config=TINY, picture=tmp_path / "none" / "run.png")


@pytest.mark.parametrize(
    "change",
    [{"score_map": "raw"}, {"attend_recent": False}, {"cluster_bits": "mean"}, {"estimate": True}],
)
def test_what_only_the_references_do_is_refused(change):
    with pytest.raises(UserError, match="the rtl engine does not do it"):
        engine_rtl.run(stream(frames=2), SMALL.replace(**change))


def test_parameters_without_stand_ins_win_over_a_trace_that_asks_for_them(tiny):
    trace = stream(frames=9)
    asks = trace.with_params(SMALL.replace(estimate=True))
    with pytest.raises(UserError, match="the compiled engine does not do it, run it with"):
        engine_rtl.run(asks, config=TINY, verilog=tiny, engine="compiled")
    _, told = engine_rtl.run(asks, SMALL, config=TINY, verilog=tiny, engine="compiled")
    _, wanted = reference.run(trace, beat=TINY.lxe.side, window=TINY.lxe.window)
    names = wanted.keys() - {"metadata"}
    assert {name: told[name] for name in names} == {name: wanted[name] for name in names}
    assert reference.run(asks)[1]["stand_ins_per_frame"] > 0


def test_sizes_have_a_limit():
    trace = stream(frames=2)
    with pytest.raises(UserError, match=r"sealed clusters is 40000: .* 32768 at most"):
        sizing.size_for(trace, SMALL, sealed=40000)
    assert sizing.size_for(trace, SMALL).wtu.entries == 2 * sizing.LANES


def test_wrong_hardware_ends_the_command_with_code_1(monkeypatch, tmp_path, capsys):
    def fails(*_, **__):
        raise MismatchError("1 mismatches\n  waveform: short.vcd")

    trace = stream(frames=2)
    traces.write(tmp_path / "t.safetensors", trace.tensors(), trace.metadata())
    monkeypatch.setattr(engine_rtl, "run", fails)
    out = tmp_path / "out.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "t.safetensors"), "--engine", "rtl", "-o", str(out)])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "vrex: 1 mismatches\n  waveform: short.vcd\n"
    assert not out.exists()
