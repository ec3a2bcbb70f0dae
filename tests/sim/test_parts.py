"""The testbench's small parts: packing, files, waveforms' windows, rows, and a missing tool."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.lib import data

from vrex import UserError
from vrex_hw.config import WTUConfig
from vrex_hw.kvpu import layouts
from vrex_sim import exchange, rows, verilate, waves
from vrex_sim.packer import Packer

LAYOUT = data.StructLayout(
    {
        "a": 5,
        "b": signed(4),
        "c": data.ArrayLayout(data.StructLayout({"x": 3, "y": 1}), 3),
        "d": data.ArrayLayout(unsigned(2), 2),
    }
)
VALUE = {"a": 21, "b": -3, "c": [{"x": 5, "y": 1}, {"x": 0, "y": 0}, {"x": 2, "y": 1}], "d": [3, 1]}


def test_packer_agrees_with_amaranth():
    packer = Packer(LAYOUT)
    assert packer.width == LAYOUT.size
    bits = packer.pack(VALUE)
    assert bits == LAYOUT.const(VALUE).as_bits()
    assert packer.unpack(bits) == VALUE
    assert packer.pack({"a": 1}) == 1


@pytest.mark.parametrize("value", [{"a": 32}, {"b": 8}, {"b": -9}, {"d": [4, 0]}])
def test_packer_refuses_what_does_not_fit(value):
    with pytest.raises(ValueError, match="does not fit"):
        Packer(LAYOUT).pack(value)


def test_exchange_carries_arrays_and_values(tmp_path):
    values = {"big": 1 << 80, "list": [1, {"a": None}], "array": np.arange(6).reshape(2, 3)}
    exchange.write(tmp_path / "f.npz", values)
    got = exchange.read(tmp_path / "f.npz")
    assert np.array_equal(got.pop("array"), values.pop("array"))
    assert got == values
    with pytest.raises(ValueError, match="json"):
        exchange.write(tmp_path / "f.npz", {"json": 1})


def test_a_waveform_is_cut_to_its_window(tmp_path):
    head = "$var wire 1 ! clk $end\n$enddefinitions $end\n"
    body = "".join(f"#{t}\n{t // 5 % 2}!\nb{t:b} aa\n" for t in range(0, 1000, 5))
    (tmp_path / "all.vcd").write_text(head + body)
    waves.cut(tmp_path / "all.vcd", tmp_path / "cut.vcd", waves.Window(10, 12, origin=100))
    expected = "".join(f"#{t}\n{t // 5 % 2}!\nb{t:b} aa\n" for t in range(200, 225, 5))
    lines = (tmp_path / "cut.vcd").read_text().splitlines()
    assert lines[:2] == head.splitlines()
    assert "".join(f"{line}\n" for line in lines if not line.startswith("$")).endswith(
        expected.partition("#205")[2]
    )
    assert lines[2] == "#200"


def test_selections_are_read_as_the_layout_has_it():
    config = WTUConfig(lanes=4, entries=64)
    packer = Packer(layouts.selection_layout(config))
    trailer = Packer(layouts.RESULT)
    words = [[(1, 0), (0, 3), (1, 2), (1, 15)], [(0, 0), (0, 0), (1, 1), (0, 0)]]
    beats = [
        packer.pack({"lanes": [{"hit": h, "word": w} for h, w in words[0]]}),
        trailer.pack({"number": 3}),
        trailer.pack({"number": 0}),
        packer.pack({"lanes": [{"hit": h, "word": w} for h, w in words[1]]}),
        trailer.pack({"number": 1}),
    ]
    raw = [np.frombuffer(beat.to_bytes(8, "little"), dtype=np.uint8) for beat in beats]
    last = np.array([False, True, True, False, True])
    stream = rows.Beats(data=np.array(raw), last=last, cycle=np.arange(5))
    hits = rows.selected(stream, 3, 21, 4)
    assert [np.flatnonzero(row).tolist() for row in hits] == [[0, 10, 20], [], [6]]
    assert stream.numbers()[last].tolist() == [3, 0, 1]


def test_a_missing_compiler_is_told_with_its_cure(monkeypatch):
    monkeypatch.setattr(verilate.shutil, "which", lambda tool: None)
    with pytest.raises(UserError, match=r"g\+\+ is missing: .*apt install"), verilate.toolchain():
        pass


def test_a_build_folder_that_cannot_be_made_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VREX_BUILD", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot build in"):
        verilate.build("", "top")


def test_verilog_that_does_not_build_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("VREX_BUILD", str(tmp_path))
    text = "module bad(clk);\n  input clk;\n  wire x = nowhere[;\nendmodule\n"
    with pytest.raises(verilate.BuildError, match="bad does not build"):
        verilate.build(text, "bad")
