"""An evaluation: every method through every stream, resumable, with its figures at the end."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vrex import UserError
from vrex_eval import hamming, parallel, plots, summary, tables
from vrex_eval.ablation import ABLATION
from vrex_eval.benchmark import Batch, Benchmark
from vrex_eval.methods import METHODS, SLOW, make
from vrex_eval.methods.full import Full
from vrex_eval.methods.registry import parse
from vrex_eval.methods.selecting import Selecting
from vrex_eval.units import Folder, Key, read_json, write_json, write_text
from vrex_eval.watch import Reference, Watch

Progress = Callable[[int, int, str], object]
"""Called with how many frames are done, of how many, and what is under way."""
PLANES = 32
"""Hash bits of the comparison of Hamming distance and cosine."""
BATCHED = 4096
"""Tokens of a stream up to which a batch is as large as it is set."""
REACH = 128
"""Tokens between the keys it compares, at most."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to evaluate."""

    methods: Sequence[str] = ()
    """Specs (:func:`vrex_eval.methods.make`); none: all but the slow ones."""
    budgets: Sequence[float] = ()
    """Budgets for every method that has one; none: each method's own."""
    sweep: bool = False
    """Every budget of each method's ladder instead."""
    ablation: bool = False
    """Add the steps from the paper's mode to the recommended one."""
    contexts: Sequence[int] = (4096,)
    """Lengths of the streams, in tokens."""
    streams: int = 32
    """Test streams."""
    batch: int = 8
    """Streams of up to 4,096 tokens watched at once; of longer ones fewer, in proportion."""
    sinks: int | None = None
    """First tokens that every method with sinks always attends; None: the method's own."""
    recent: int | None = None
    """Latest tokens that are always attended; None: the method's own."""
    probe: int = 8
    """Every so many frames outputs are compared with exact attention; 0: never."""
    jobs: int = 1
    """Processes; more than one on a GPU take turns with all that there are."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        sizes = {
            "streams": self.streams,
            "batch": self.batch,
            "context": min(self.contexts),
            "jobs": self.jobs,
        }
        for name, value in sizes.items():
            if value < 1:
                raise UserError(f"{name} is {value}: it must be 1 or more")
        for name, tokens in (("sinks", self.sinks), ("recent", self.recent)):
            if tokens is not None and tokens < 0:
                raise UserError(f"{name} is {tokens}: it must be 0 or more")


def chosen(settings: Settings) -> list[Selecting]:
    """Return the methods to run, each with its budget; the settings are checked on the way."""
    if settings.sweep and settings.budgets:
        raise UserError("a sweep takes each method's own budgets: leave --budget or --sweep out")
    specs = list(settings.methods) or [name for name in METHODS if name not in SLOW]
    if settings.ablation:
        specs += [spec for spec in ABLATION.values() if spec not in specs]
    made: dict[tuple[str, float], Selecting] = {}
    for spec in specs:
        ladder = parse(spec)[0].ladder
        budgets = settings.budgets or (ladder if settings.sweep else ())
        for budget in budgets or (None,):
            method = make(spec, budget, sinks=settings.sinks, recent=settings.recent)
            made.setdefault((method.name, budget_of(method)), method)
    return list(made.values())


def budget_of(method: Selecting) -> float:
    """Return a method's budget; 1.0 where it has none."""
    return float(getattr(method, "budget", 1.0))


def evaluate(
    benchmarks: Sequence[Benchmark],
    settings: Settings,
    path: Path,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Run what is not in the folder ``path`` yet, then write all figures; return the cells.

    ``results.json`` holds the cells (:func:`vrex_eval.summary.cells`), ``details.json`` what lies
    behind them, ``tables.md`` and ``plots/`` show them. A run that was stopped goes on where it
    was: a method through a batch of streams is the unit. Raises :class:`~vrex.UserError` for bad
    settings, and for a folder with results of other ones.
    """
    methods = chosen(settings)
    for benchmark in benchmarks:  # What is too short is refused before anything is written.
        benchmark.batch(min(settings.contexts), 0, 1)
    folder = Folder(path, _plan(benchmarks, settings))
    todo = list(_pending(benchmarks, methods, settings, folder))
    total = sum(len(job.methods) * job.context for job in todo)
    meter = Meter(total, progress)
    if settings.jobs > 1:
        parallel.run(todo, folder, settings, meter)
    else:
        for job in todo:
            run_job(job, folder, settings, meter)
    for benchmark in benchmarks:
        _compare_hashes(benchmark, min(settings.contexts), path)
    return report(path, folder, benchmarks[0])


def _plan(benchmarks: Sequence[Benchmark], settings: Settings) -> dict[str, Any]:
    """Return what results in one folder have in common."""
    return {
        "models": {str(b.seed): b.identity for b in benchmarks},
        "batch": settings.batch,
        "sinks": settings.sinks,
        "recent": settings.recent,
        "probe": settings.probe,
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A batch of streams, and the methods that have not watched it yet."""

    benchmark: Benchmark
    context: int
    first: int
    count: int
    methods: list[Selecting]

    def key(self, method: Selecting) -> Key:
        """Return the key of a method's unit."""
        return Key(
            method=method.name,
            budget=budget_of(method),
            context=self.context,
            seed=self.benchmark.seed,
            first=self.first,
            count=self.count,
        )


def _pending(
    benchmarks: Sequence[Benchmark],
    methods: list[Selecting],
    settings: Settings,
    folder: Folder,
) -> Iterator[Job]:
    for benchmark in benchmarks:
        for context in settings.contexts:
            at_once = max(1, settings.batch * BATCHED // max(BATCHED, context))
            for first in range(0, settings.streams, at_once):
                count = min(at_once, settings.streams - first)
                job = Job(
                    benchmark=benchmark, context=context, first=first, count=count, methods=methods
                )
                left = [m for m in methods if not folder.done(job.key(m))]
                if left:
                    yield dataclasses.replace(job, methods=left)


class Meter:
    """Counts tokens of context as they are watched."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        """Start at 0 of ``total``."""
        self.done, self.total, self.progress = 0.0, total, progress

    def add(self, tokens: float, what: str) -> None:
        """Count some more."""
        self.done += tokens
        if self.progress is not None:
            self.progress(round(self.done), self.total, what)


def run_job(job: Job, folder: Folder, settings: Settings, meter: Meter) -> None:
    """Watch a batch with full attention, then with every method that is left."""
    batch = job.benchmark.batch(job.context, job.first, job.count)
    full = [method for method in job.methods if isinstance(method, Full)]
    reference, sums = _watch(job, batch, make("full"), None, settings, meter, counts=bool(full))
    for number, same in enumerate(full):  # FlexGen too: what it computes is full attention.
        folder.save(job.key(same), sums)
        meter.add(job.context if number else 0, same.name)
    for method in job.methods:
        if method not in full:
            _, own = _watch(job, batch, method, reference, settings, meter)
            folder.save(job.key(method), own)


def _watch(
    job: Job,
    batch: Batch,
    method: Selecting,
    reference: Reference | None,
    settings: Settings,
    meter: Meter,
    counts: bool = True,
) -> tuple[Reference, dict[str, Any]]:
    """Return the reference, made where there is none, and the method's sums.

    ``counts``: the method is one of those to be done.
    """
    watch = Watch(job.benchmark, method, reference, settings.probe)
    share = job.context / batch.frames.shape[1] if counts else 0.0
    what = f"{method.name} at {job.context}, streams {job.first} on"
    sums = watch.run(batch, lambda: meter.add(share, what))
    return watch.reference, sums


def _compare_hashes(benchmark: Benchmark, context: int, path: Path) -> None:
    """Write ``hamming-SEED.json`` from the keys of the first stream, unless it is there."""
    place = path / f"hamming-{benchmark.seed}.json"
    if place.is_file():
        return
    keep = hamming.KeepKeys(name="full", keys={})
    watching, frames = benchmark.begin(keep), benchmark.batch(context, 0, 1).frames
    with torch.no_grad():
        for frame in range(frames.shape[1]):
            watching.frame(frames[:, frame])
    figures = []
    for layer, steps in sorted(keep.keys.items()):
        for number, name in enumerate(("pre_rope", "post_rope")):
            keys = torch.cat([step[number] for step in steps])
            for head in range(keys.shape[1]):
                one = hamming.compare(keys[:, head], PLANES, REACH)
                figures.append({"layer": layer, "head": head, "keys": name, **one})
    write_json(place, figures)


def report(path: Path, folder: Folder, benchmark: Benchmark) -> list[dict[str, Any]]:
    """Write results, tables and plots from what the folder holds; return the results."""
    groups = summary.join(folder.units())
    cells = summary.cells(groups)
    details = summary.details(groups, far=tables.FAR)
    hashes = {p.stem: read_json(p) for p in sorted(path.glob("hamming-*.json"))}
    write_json(path / "results.json", cells)
    write_json(path / "details.json", details)
    write_text(path / "tables.md", tables.write(cells, details, hashes, benchmark))
    plots.draw(path / "plots", details, hashes, benchmark)
    return cells
