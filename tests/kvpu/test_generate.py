"""What `generate` writes: the same bytes each time, true ports, all files or none."""

import hashlib
import json
import re
import time

import pytest

from vrex.errors import UserError
from vrex_hw import generate as generator
from vrex_hw.config import CONFIGS
from vrex_hw.generate import TOPS, emit, generate
from vrex_hw.kvpu.layouts import stream_layouts
from vrex_hw.registers import KVPU

TINY = CONFIGS["tiny"]


def verilog_ports(text, top):
    """Name -> (direction, bits), read out of the Verilog."""
    module = re.search(rf"^module {top}\(.*?^endmodule", text, re.M | re.S)[0]
    found = re.findall(r"^  (input|output) (?:reg )?(?:\[(\d+):0\] )?(\w+)\s*;", module, re.M)
    return {name: (direction, int(high or 0) + 1) for direction, high, name in found}


@pytest.mark.parametrize("top", TOPS)
def test_files_ports_and_hashes(top, tmp_path):
    paths = generate(TINY, top=top, out_dir=tmp_path / "a" / "b")
    names = [path.name for path in paths]
    header = [f"vrex_{top}.h"] if top in ("core", "kvpu") else []
    assert names == [f"{top}.v", *header, "manifest.json"]
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == sorted(names)
    manifest = json.loads(paths[-1].read_text())
    for path in paths[:-1]:
        assert manifest["files"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    listed = {p["name"]: (p["direction"], p["bits"]) for p in manifest["ports"]}
    assert listed == verilog_ports(paths[0].read_text(), top)


def test_the_manifest_tells_the_limits_streams_and_registers(tmp_path):
    manifest = json.loads(generate(TINY, top="kvpu", out_dir=tmp_path)[-1].read_text())
    assert manifest["limits"]["longest_row"] == 64
    assert manifest["limits"]["join_window"] == 16
    assert int(manifest["fingerprint"], 16) == TINY.fingerprint
    assert {n: int(a, 16) for n, a in manifest["registers"].items()} == dict(KVPU.address)
    for name, layout in stream_layouts(TINY).items():
        assert manifest["streams"][name]["tdata_bits"] == layout.size
    assert manifest["streams"]["s_axis_row"]["fields"]["lanes.1.count"] == [48, 16]


@pytest.mark.parametrize("top", TOPS)
def test_same_input_same_bytes_without_source_paths(top):
    text = emit(TINY, top)
    assert text == emit(TINY, top)
    assert "src =" not in text
    assert ".py" not in text


def test_core_is_generated_in_time(tmp_path):
    start = time.process_time()
    generate(CONFIGS["core"], top="kvpu", out_dir=tmp_path)
    assert time.process_time() - start < 20


def test_an_unknown_top_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown top 'kvmu': known are core, kvpu, lxe, hcu, wtu"):
        generate(TINY, top="kvmu", out_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write to"):
            generate(TINY, top="hcu", out_dir=folder)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("call", ["write_text", "replace"])
def test_a_write_that_fails_leaves_nothing_behind(call, tmp_path, monkeypatch):
    old = tmp_path / "hcu.v"
    old.write_text("old")
    real, calls = getattr(generator.Path, call), []

    def fail_at_last(path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(generator.Path, call, fail_at_last)
    with pytest.raises(UserError, match="No space left on device"):
        generate(TINY, top="hcu", out_dir=tmp_path)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["hcu.v"]
    if call == "write_text":
        assert old.read_text() == "old"
