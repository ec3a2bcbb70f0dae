"""The demo: a trained model's queries, keys and values through three engines, in one table."""

import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor

from resv_ref import files
from resv_ref import run as reference
from resv_ref import trace as traces
from resv_ref.run import Progress as Report
from resv_ref.trace import Trace
from vrex import UserError
from vrex_hw.config import Config
from vrex_hw.generate import generate
from vrex_sim import engine_rtl

TRACE = "video-layer1.safetensors"
EXAMPLES = (
    Path(__file__).parents[2] / "examples",
    Path(sysconfig.get_path("data")) / "share" / "vrex" / "examples",
)
"""Where the trace lies: in a checkout, and in an installed package."""
Run = tuple[dict[str, Tensor], dict[str, Any]]


def demo(out_dir: Path, console: Console) -> list[Path]:
    """Run the shipped trace through the float, exact and compiled engines and print the outcome.

    Writes the three runs, and the Verilog of the core that was simulated with its manifest and
    header, into ``out_dir``; returns the paths. Raises :class:`~vrex.UserError` if the folder
    cannot be written, and what :func:`vrex_sim.engine_rtl.run` raises.
    """
    began = time.monotonic()
    _make(out_dir)
    path = find_trace()
    trace = traces.read(path)
    console.print(
        f"[bold]{path.name}[/]: {trace.frames} frames of up to {trace.tokens} tokens, "
        f"{trace.q_heads} query heads, {trace.kv_heads} KV heads, head dimension {trace.head_dim}"
    )
    runs: dict[str, Run] = {}
    with _bars(console) as bar:
        for engine in ("float", "exact"):
            runs[engine] = reference.run(trace, trace.params, engine, bar(f"{engine} reference"))
        expected = runs["exact"][0]
        config = engine_rtl.size(trace, trace.params, expected)
        emitted = bar("Verilog emitted")
        verilog = generate(config, top="core", out_dir=out_dir)
        emitted(1, 1)
        runs["compiled"] = engine_rtl.run(
            trace,
            config=config,
            expected=expected,
            progress=bar("Verilog built and simulated"),
            engine="compiled",
        )
    written = [_write(out_dir, name, one) for name, one in runs.items()] + verilog
    console.print(table(trace, config, runs))
    console.print(f"{time.monotonic() - began:.0f} s; files written:")
    for file in written:
        console.print(f"  {file}", soft_wrap=True, highlight=False)
    return written


def find_trace() -> Path:
    """Return the shipped trace; raises :class:`~vrex.UserError` where it is missing."""
    for folder in EXAMPLES:
        if (folder / TRACE).is_file():
            return folder / TRACE
    raise UserError(f"the demo's trace {EXAMPLES[0] / TRACE} is missing: check out examples/")


def table(trace: Trace, config: Config, runs: dict[str, Run]) -> Table:
    """Return the table of the demo: what each engine retrieved, and what the hardware took."""
    out = Table(title="ReSV, one layer, all frames and KV heads", title_justify="left")
    out.add_column("")
    for engine in runs:
        out.add_column(engine, justify="right")
    summaries = [summary for _, summary in runs.values()]
    for label, name, form in (
        ("tokens", "tokens", "{:,}"),
        ("clusters (all KV heads)", "clusters", "{:,}"),
        ("tokens a cluster", "tokens_per_cluster", "{:.1f}"),
        ("retrieved, of the scored tokens", "retrieved", "{:.1%}"),
        ("retrieved, with what is always attended", "retrieved_with_resident", "{:.1%}"),
    ):
        out.add_row(label, *(form.format(summary[name]) for summary in summaries))
    same = [_agreement(trace, tensors, runs["exact"][0]) for tensors, _ in runs.values()]
    out.add_row("rows that select just what exact does", *(f"{share:.2%}" for share in same))
    far = [_distance(tensors, runs["exact"][0]) for tensors, _ in runs.values()]
    out.add_row("attention: mean distance from exact", *(f"{distance:.1e}" for distance in far))
    out.add_section()
    for label, value in _hardware(config, runs["compiled"][1]):
        out.add_row(label, "", "", value)
    mismatches = runs["compiled"][1]["mismatches"]
    verdict = f"[bold {'red' if mismatches else 'green'}]{mismatches}[/]"
    out.add_row("[bold]mismatches, Verilog against exact[/]", "", "", verdict)
    return out


def _hardware(config: Config, summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the counters tell, a line each."""
    cycles, used = summary["cycles_by_unit"], summary["utilisation"]
    yield "cycles", f"{summary['cycles']:,}"
    for kind, command in summary["commands"].items():
        yield f"  DPE, {kind} commands", f"{command['cycles']:,}"
    yield "  HCU busy", f"{cycles['hcu']:,}"
    yield "  WTU busy", f"{cycles['wtu']:,}"
    yield "DPE utilisation (beats over cycles)", f"{used['dpe']:.1%}"
    yield "HCU utilisation (compares over peak)", f"{used['hcu']:.1%}"
    yield f"WTU utilisation (beats of {config.wtu.lanes} over busy)", f"{used['wtu']:.1%}"
    yield "prediction hidden behind the DPE", f"{summary['prediction_hidden']:.1%}"
    link, residency = summary["link"], summary["residency"]
    yield "bytes from the host", f"{link['bytes_in']:,}"
    yield "bytes of a request to it", f"{link['mean_request_bytes']:,.0f}"
    yield "chosen clusters that were resident", f"{residency['hit_rate']:.1%}"
    yield "rows thresholded", f"{summary['counters']['wtu_rows']:,}"
    yield "passes over a row, beside streaming it in", f"{summary['passes_per_row']:.2f}"
    yield "cycles a row", f"{cycles['wtu'] / summary['counters']['wtu_rows']:.1f}"
    yield "buckets visited a row", f"{summary['buckets_per_row']:.2f}"


def _agreement(trace: Trace, tensors: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """Return the share of live rows with something to select whose selection is the exact one.

    Where clusterings differ in their number, the longer row counts by its extra columns too.
    """
    one, other = tensors["row_selected"], exact["row_selected"]
    most = max(one.shape[3], other.shape[3])
    one, other = (_widen(rows, most) for rows in (one, other))
    scored = exact["sealed"].repeat_interleave(trace.q_heads // trace.kv_heads, dim=1) > 0
    live = scored[:, :, None] & traces.live(trace)[:, None, :]
    same = (one == other).all(3)
    return float(same[live].float().mean()) if live.any() else 1.0


def _distance(tensors: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """Return the mean absolute difference of the attention outputs."""
    one, other = (run["attn_out"].float() for run in (tensors, exact))
    return float((one - other).abs().mean())


def _widen(rows: Tensor, columns: int) -> Tensor:
    wide = rows.new_zeros(*rows.shape[:3], columns)
    wide[..., : rows.shape[3]] = rows
    return wide


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    files.check_writable(folder / "compiled.safetensors")


def _write(folder: Path, engine: str, run: Run) -> Path:
    path = folder / f"{engine}.safetensors"
    tensors, summary = run
    traces.write(path, tensors, summary["metadata"])
    return path


@contextmanager
def _bars(console: Console) -> Iterator[Any]:
    """Yield ``bar(title)``, which draws a bar and returns what reports its progress.

    Until something is reported the bar only moves. Where no bar can be drawn the titles are lines.
    """
    columns = (TextColumn("{task.description:30}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def bar(title: str) -> Report:
            if not console.is_terminal:
                console.print(f"{title} ...")
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar
