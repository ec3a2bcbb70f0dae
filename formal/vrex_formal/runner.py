"""Run proofs side by side and print a table of their verdicts."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vrex.errors import UserError
from vrex_formal import (
    dpe_proofs,
    feed_flow_proofs,
    feed_proofs,
    flow_proofs,
    hcu_proofs,
    link_proofs,
    lxe_proofs,
    memory_part_proofs,
    memory_proofs,
    retriever_proofs,
    sby,
    storer_proofs,
    stream_proofs,
    wtu_proofs,
)
from vrex_formal.proof import Proof, Result, check

WORK = Path("build/formal")
MODULES = (
    stream_proofs,
    flow_proofs,
    hcu_proofs,
    wtu_proofs,
    dpe_proofs,
    lxe_proofs,
    memory_part_proofs,
    memory_proofs,
    link_proofs,
    feed_proofs,
    feed_flow_proofs,
    retriever_proofs,
    storer_proofs,
)

PROOFS: dict[str, Proof] = {p.name: p for module in MODULES for p in module.PROOFS}
"""Every proof by its name."""


def prove(names: list[str] | None, console: Console) -> bool:
    """Run the proofs ``names`` (None: all), as many at a time as there are cores.

    Prints progress, then a table. Returns whether all of them hold. Traces and logs stay under
    build/formal. Raises UserError for an unknown name or a missing tool.
    """
    chosen = _choose(names)
    environment = sby.link_tools(WORK)
    results: dict[str, Result] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with (
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
    ):
        bar = progress.add_task("proofs", total=len(chosen))
        slowest_first = sorted(chosen, key=lambda proof: -proof.effort)
        jobs = [pool.submit(check, p, WORK / p.name, environment) for p in slowest_first]
        for job in as_completed(jobs):
            result = job.result()
            results[result.proof.name] = result
            progress.update(bar, advance=1, description=f"proofs ({result.proof.name} done)")
            if not console.is_terminal:
                verdict = "holds" if result.holds else "FAILS"
                console.print(f"{result.proof.name} {verdict} ({result.seconds:.0f} s of CPU time)")
    console.print(_table(results[proof.name] for proof in chosen))
    failed = [proof.name for proof in chosen if not results[proof.name].holds]
    for name in failed:
        console.print(f"{name}: {escape(results[name].verdict)}", soft_wrap=True)
    console.print(
        f"proofs that fail: {len(failed)} of {len(chosen)}" if failed else "every proof holds"
    )
    return not failed


def _choose(names: list[str] | None) -> list[Proof]:
    unknown = [name for name in names or [] if name not in PROOFS]
    if unknown:
        raise UserError(f"unknown proof {unknown[0]!r}: known are {', '.join(PROOFS)}")
    return [PROOFS[name] for name in names or PROOFS]


def _table(results: Iterable[Result]) -> Table:
    table = Table(title="proofs by sby with Yices")
    table.add_column("proof", no_wrap=True)
    for column in ("what it proves", "engine", "depth", "CPU s", "verdict"):
        table.add_column(column)
    for result in results:
        proof = result.proof
        table.add_row(
            proof.name,
            proof.claim,
            "induction" if proof.induct else "bounded",
            str(proof.depth),
            f"{result.seconds:.0f}",
            result.verdict if result.holds else "FAILS",
        )
    return table
