"""The demo: its table, its files, and a folder that cannot be written."""

import dataclasses

import pytest
from rich.console import Console

from resv_ref import trace as traces
from vrex import UserError
from vrex_sim import demo


@pytest.fixture
def short_trace(monkeypatch, tmp_path):
    """Stand in for the shipped trace: its first frames, under windows that suit them."""
    whole = traces.read(demo.find_trace())
    names = ("q", "k", "v", "k_hash", "frame_lengths", "text")
    params = whole.params.replace(recent_window=60, join_window=32)
    cut = {name: getattr(whole, name)[:14] for name in names}
    short = dataclasses.replace(whole, params=params, **cut)
    path = tmp_path / "short.safetensors"
    traces.write(path, short.tensors(), short.metadata())
    monkeypatch.setattr(demo, "find_trace", lambda: path)
    return short


def test_the_demo_prints_a_table_and_names_its_files(short_trace, tmp_path):
    console = Console(record=True, width=100, quiet=False)
    written = demo.demo(tmp_path / "out", console)
    text = console.export_text()
    names = {path.name for path in written}
    engines = {"float.safetensors", "exact.safetensors", "compiled.safetensors"}
    assert names == engines | {"core.v", "vrex_core.h", "manifest.json"}
    for path in written:
        assert path.is_file()
        assert path.name in text.rpartition("files written")[2].replace("\n", "")
    row = next(line for line in text.splitlines() if "mismatches, Verilog against exact" in line)
    assert row.split()[-2] == "0"
    stages = ("float reference", "exact reference", "Verilog emitted")
    told = [text.index(f"{stage} ...") for stage in (*stages, "Verilog built and simulated")]
    assert told == sorted(told), "each is told when it begins"
    tokens = next(line for line in text.splitlines() if line.startswith("│ tokens  "))
    assert tokens.count(str(int(short_trace.frame_lengths.sum()))) == 3
    labels = ("HCU busy", "attend commands", "passes over a row", "buckets visited", "retrieved")
    moved = ("prediction hidden", "bytes from the host", "resident")
    for label in (*labels, *moved, "utilisation"):
        assert label in text


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to"):
        demo.demo(tmp_path / "file" / "out", Console(quiet=True))


def test_a_missing_trace_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "EXAMPLES", (tmp_path,))
    with pytest.raises(UserError, match="is missing"):
        demo.find_trace()
