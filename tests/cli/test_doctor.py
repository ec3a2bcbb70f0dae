"""`vrex doctor` names what is missing and the command that mends it."""

import importlib.metadata

from vrex_cli import doctor


def test_all_there(vrex):
    result = vrex("doctor")
    assert result.code == 0
    assert importlib.metadata.version("amaranth") in result.out


def test_missing_tools_name_their_cure(vrex, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _program: None)
    result = vrex("doctor")
    assert result.code == 1
    assert "missing" in result.out
    assert "mend it with: apt-get install g++ && apt-get install make" in result.out
