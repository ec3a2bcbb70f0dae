"""A proof: a harness, how deep to look, and the run that gives its verdict."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module

from vrex_formal import sby


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One claim about one unit, and the harness whose asserts state it."""

    name: str
    """Names the proof on the command line and its folder under build/formal."""
    claim: str
    """What it proves, in one line."""
    harness: Callable[[], Module]
    """Makes the module with the unit, the assumptions, the asserts and the covers."""
    depth: int
    """Cycles looked at; with ``induct``, how long the induction's premise is."""
    induct: bool = False
    """Prove by k-induction, for ever, instead of up to ``depth`` cycles after the reset."""
    cover_depth: int = 0
    """Cycles in which every cover has to be reached; 0 means ``depth``."""
    effort: int = 1
    """Rough seconds it takes, so that the long ones start first."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A proof's verdict."""

    proof: Proof
    holds: bool
    seconds: float
    verdict: str
    """One line: how far it is proved, or what failed and where the counterexample is."""


_CHECK = re.compile(r'attribute \\src "[^"]*"(\n\s*cell \$check \S+\n\s*parameter \\FORMAT )"(.+)"')


def emit(module: Module) -> str:
    """Return ``module`` as RTLIL with its checks named by their claims, not by source lines."""
    text = rtlil.convert(module, name="top", ports=[])
    return _CHECK.sub(lambda m: f'attribute \\src "{sby.encode(m[2])}"{m[1]}"{m[2]}"', text)


def check(proof: Proof, directory: Path, environment: dict[str, str]) -> Result:
    """Run ``proof`` in ``directory``: its asserts have to hold and its covers to be reached."""
    text = emit(proof.harness())
    safety = sby.run(
        directory / "safety",
        environment,
        text,
        mode="prove" if proof.induct else "bmc",
        depth=proof.depth,
    )
    if not safety.passed:
        trace = f"; counterexample: {safety.trace}" if safety.trace else ""
        failed = "; ".join(safety.findings) + trace
        return Result(proof=proof, holds=False, seconds=safety.seconds, verdict=failed)
    cover = sby.run(
        directory / "cover",
        environment,
        text,
        mode="cover",
        depth=proof.cover_depth or proof.depth,
    )
    return Result(
        proof=proof,
        holds=cover.passed,
        seconds=safety.seconds + cover.seconds,
        verdict="; ".join(cover.findings)
        or ("holds for ever" if proof.induct else f"holds for {proof.depth} cycles"),
    )
