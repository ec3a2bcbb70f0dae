"""Draw the pictures of the documentation that are measured, not sketched.

    python docs/draw.py timelines            docs/images/{hcu,wtu}-timeline.svg
    python docs/draw.py passes BENCH.json    docs/images/wtu-passes.svg

BENCH.json is what `vrex bench rtl --json` printed. The timelines come from Amaranth's simulator.
"""

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from amaranth.sim import Simulator

from vrex_hw.config import HCUConfig, WTUConfig
from vrex_hw.hcu import HCU
from vrex_hw.wtu import WTU

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREY = "#2b5ca8", "#d9822b", "#8899aa"
plt.rcParams |= {"svg.hashsalt": "vrex", "font.size": 9, "axes.spines.top": False}
plt.rcParams |= {"axes.spines.right": False, "svg.fonttype": "none"}

Activity = dict[str, list[bool]]


def save(figure: Any, name: str) -> None:
    """Write a picture with the same bytes for the same content."""
    figure.savefig(IMAGES / name, metadata={"Date": None}, facecolor="white", bbox_inches="tight")
    print(IMAGES / name)


def draw_activity(activity: Activity, name: str, title: str, note: str) -> None:
    """Draw a lane a signal, a bar where it was active."""
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(activity) + 0.9))
    for lane, (label, cycles) in enumerate(activity.items()):
        colour = ORANGE if label.startswith("stream") else BLUE
        bars = [(cycle, 1) for cycle, active in enumerate(cycles) if active]
        axes.broken_barh(bars, (lane - 0.36, 0.72), facecolors=colour)
    axes.set_yticks(range(len(activity)), list(activity))
    axes.invert_yaxis()
    axes.set_xlim(0, max(map(len, activity.values())))
    axes.set_xlabel(f"cycle ({note})")
    axes.set_title(title, loc="left", fontsize=10)
    save(figure, name)


def record(unit: Any, processes: list[Any], done: Any, signals: dict[str, Any]) -> Activity:
    """Simulate ``unit`` until ``done`` and note in which cycles each signal did something.

    A one-bit signal is active while it is 1; a counter in the cycle that makes it count.
    """
    activity: Activity = {name: [] for name in signals}

    async def watch(ctx: Any) -> None:
        before = dict.fromkeys(signals, 0)
        async for _, _, *values in ctx.tick().sample(*signals.values()):
            for (name, signal), value in zip(signals.items(), values, strict=True):
                active = value != before[name] if len(signal) > 1 else value
                activity[name].append(bool(active))
                before[name] = value

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    for process in processes:
        simulator.add_testbench(process, background=True)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(done)
    simulator.run()
    return {
        name: cycles[1:] if len(signals[name]) > 1 else cycles for name, cycles in activity.items()
    }


def sender(port: Any, payloads: list[Any]) -> Any:
    """Return a process that sends the beats without a pause."""

    async def process(ctx: Any) -> None:
        for payload in payloads:
            ctx.set(port.payload, payload)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    return process


def taker(unit: Any, port: Any, packets: int, settings: dict[str, int]) -> Any:
    """Return a process that sets the parameters and takes everything, up to the last trailer."""

    async def process(ctx: Any) -> None:
        for name, value in settings.items():
            ctx.set(getattr(unit, name), value)
        ctx.set(port.ready, 1)
        left = packets
        while left:
            last, _ = await ctx.tick().sample(port.p.last, port.valid).until(port.valid)
            left -= last
        await ctx.tick().repeat(2)

    return process


def hcu_timeline() -> None:
    """Three heads of four tokens against 24 clusters: the next table loads during compares."""
    rng = random.Random(1)
    heads, tokens, entries = 3, 4, 24
    unit = HCU(HCUConfig(hyperplanes=32, width=16, joinable=32, open=64))
    job = {"first_index": entries, "tokens": tokens, "base": 0, "entries": entries, "resume": 0}
    table = [{"hash": rng.getrandbits(32), "first": k, "count": 1} for k in range(entries)]
    keys = [{"bits": rng.getrandbits(32)} for _ in range(heads * tokens)]
    settings = {"hamming_threshold": 5, "join_window": 32, "cluster_cap": 32, "recent_window": 32}
    activity = record(
        unit,
        [
            sender(unit.job, [job] * heads),
            sender(unit.table, table * heads),
            sender(unit.hash, keys),
        ],
        taker(unit, unit.assign, heads, settings),
        {
            "stream in: table": unit.table.valid & unit.table.ready,
            "compares": unit.compares,
            "stream out: assignments": unit.assign.valid & unit.assign.ready,
        },
    )
    note = f"{heads} heads, {tokens} tokens each against {entries} clusters, a compare is 2 cycles"
    draw_activity(activity, "hcu-timeline.svg", "HCU: the next table loads during compares", note)


def wtu_timeline() -> None:
    """Four rows of 256 clusters: one flat, three sharp."""
    rng = random.Random(3)
    config = WTUConfig(entries=256)
    unit = WTU(config)
    beats = []
    rows = (0.7, 1.5, 3.0, 3.0)
    for deviation in rows:
        scores = [rng.gauss(0, deviation) for _ in range(config.entries)]
        top = max(scores)
        weights = [min(65535, round(65536 * math.exp(s - top))) for s in scores]
        for start in range(0, config.entries, config.lanes):
            lanes = [
                {"weight": w, "count": rng.randint(1, 32), "valid": 1}
                for w in weights[start : start + config.lanes]
            ]
            last = start + config.lanes == config.entries
            beats.append({"lanes": lanes, "last": last})
    activity = record(
        unit,
        [sender(unit.row, beats)],
        taker(unit, unit.selected, len(rows), {"ratio": 19661, "k_min": 4, "k_max": 16}),
        {
            "stream in: row": unit.row.valid & unit.row.ready,
            "buckets visited": unit.buckets,
            "memory or candidates read": unit.reads,
            "stream out: selection": unit.selected.valid & unit.selected.ready,
        },
    )
    note = f"rows of {config.entries} clusters, deviation of the scores {', '.join(map(str, rows))}"
    draw_activity(activity, "wtu-timeline.svg", "WTU: four rows, one after another", note)


def passes(figures: list[dict[str, Any]]) -> None:
    """Draw passes a row, ours beside the paper's, for every set of rows."""
    values = {f["name"]: f["value"] for f in figures}
    plain = "wtu.passes_typical."
    sets = [name.removeprefix(plain) for name in values if name.startswith(plain)]
    figure, axes = plt.subplots(figsize=(10.5, 3))
    for scheme, colour, label, shift in (
        ("", BLUE, "ours, exact", -0.2),
        ("_paper", GREY, "paper's 15 buckets, exit bucket taken whole", 0.2),
    ):
        places = [k + shift for k in range(len(sets))]
        typical = [values[f"wtu.passes_typical{scheme}.{rows}"] for rows in sets]
        worst = [values[f"wtu.passes_worst{scheme}.{rows}"] for rows in sets]
        bars = axes.bar(places, typical, 0.38, color=colour, label=f"{label}: mean")
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
        axes.scatter(places, worst, color=colour, marker="_", s=120, label=f"{label}: worst row")
    names = ["\n".join(rows.rsplit("_", 1)).replace("_", " ") for rows in sets]
    axes.set_xticks(range(len(sets)), names, fontsize=8)
    axes.set_ylabel("passes over a row")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.25))
    save(figure, "wtu-passes.svg")


def main() -> None:
    """Draw what the command line names."""
    match sys.argv[1:]:
        case ["timelines"]:
            hcu_timeline()
            wtu_timeline()
        case ["passes", file]:
            passes(json.loads(Path(file).read_text()))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
