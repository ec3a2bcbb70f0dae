"""Where the cycles of a run went: what the core's counters and reports tell."""

from typing import Any

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Kind, Layouts
from vrex_sim.activity import Activity
from vrex_sim.packer import Packer
from vrex_sim.placement import Placement
from vrex_sim.ports import Bytes

REASONS = {
    "no_input": ("no_matrix", "no_activation"),
    "no_output": ("no_output",),
    "no_result": ("no_result",),
}
"""Why a command waited, and the fields of its report that add up to it."""


def figures(
    place: Placement, given: dict[str, Any], activity: Activity, least: dict[str, int]
) -> dict[str, Any]:
    """Return what the counters, reports and activity tell of a run.

    ``given`` is the host's result, ``least`` that of :func:`~vrex_sim.least.least_cycles`.

    - ``config``: the sizes; ``cycles``: from the first job to the last beat
    - ``commands``: for each kind of command how many there were, their ``cycles``, the ``beats``
      that the DPE took in them, and their ``utilisation``, beats over cycles
    - ``cycles_by_unit``: cycles in which each unit was busy
    - ``utilisation``: of the HCU compares over the peak of its lanes, of the WTU beats of rows
      over its busy cycles, of the DPE beats over all cycles
    - ``idle``: for each unit, cycles in which it did nothing: ``no_input`` and ``no_output``,
      while the other side of a stream kept it waiting; of the DPE also ``no_result``, while a
      beat waited for an earlier one's; ``nothing_to_do``, without a job
    - ``passes_per_row``: reads of row memory and candidates over ceil(n / lanes), rows weighted
      by their length; ``buckets_per_row``: histogram bins visited
    - ``least_cycles``: the floor of each kind of command; ``dpe_utilisation``: their sum over all
      cycles
    - ``prediction_hidden``: of the cycles in which HCU, WTU or KVMU work for a later job, from the
      first attention on, the share in which the DPE works too; ``prediction_hidden_whole``: of
      all of the run, the first job's own prediction included
    - ``active_cycles``: cycles in which each unit works; ``timeline``: the share of the cycles of
      each span in which it does (:meth:`~vrex_sim.activity.Activity.timeline`)
    - ``link``: requests both ways, bytes each way, and the mean size of a request
    - ``residency``: share of the chosen clusters that were resident, and of the chosen tokens that
      were fetched
    - ``memory_bytes``: device memory that the run takes, heads' states included
    - ``counters``: the registers themselves
    """
    config, counters, cycles = place.config, given["counters"], given["cycles"]
    reports = _reports(config, given["report"])
    beats = len(given["weights"])
    peak = counters["hcu_busy"] * config.hcu.accumulators
    taken = sum(report["beats"] for report in reports)
    return {
        "config": config.to_dict(),
        "cycles": cycles,
        "commands": {kind.name.lower(): _commands(reports, kind) for kind in Kind},
        "cycles_by_unit": {
            **{unit: counters[f"{unit}_busy"] for unit in ("hcu", "wtu")},
            "dpe": sum(report["cycles"] for report in reports),
        },
        "utilisation": {
            "hcu": counters["hcu_compares"] * config.hcu.phases / max(1, peak),
            "wtu": beats / max(1, counters["wtu_busy"]),
            "dpe": taken / max(1, cycles),
        },
        "idle": {
            **{unit: _idle(counters, unit, cycles) for unit in ("hcu", "wtu")},
            "dpe": _idle_dpe(reports, cycles),
        },
        "least_cycles": least,
        "dpe_utilisation": sum(least.values()) / max(1, cycles),
        "prediction_hidden": activity.hidden(),
        "prediction_hidden_whole": activity.hidden(after=0),
        "active_cycles": activity.busy,
        "timeline": activity.timeline(),
        "link": _link(place.regions.line_bytes, counters),
        "residency": {
            "hit_rate": counters["clusters_hit"] / max(1, counters["clusters_chosen"]),
            "fetched_over_selected": counters["tokens_fetched"] / max(1, counters["tokens_chosen"]),
        },
        "memory_bytes": place.starts["end"] * place.regions.line_bytes,
        "passes_per_row": counters["wtu_reads"] / max(1, beats),
        "buckets_per_row": counters["wtu_buckets"] / max(1, counters["wtu_rows"]),
        "counters": counters,
    }


def _reports(config: Config, beats: Bytes) -> list[dict[str, int]]:
    packer = Packer(Layouts(config).report)
    return [packer.unpack(int.from_bytes(beat.tobytes(), "little")) for beat in beats]


def _commands(reports: list[dict[str, int]], kind: Kind) -> dict[str, Any]:
    own = [report for report in reports if report["kind"] == kind]
    cycles, beats = (sum(report[name] for report in own) for name in ("cycles", "beats"))
    return {
        "commands": len(own),
        "cycles": cycles,
        "beats": beats,
        "utilisation": beats / max(1, cycles),
    }


def _link(line_bytes: int, counters: dict[str, int]) -> dict[str, float]:
    into, out = (line_bytes * counters[f"link_lines_{way}"] for way in ("in", "out"))
    requests = counters["link_requests"]
    return {
        "requests": requests,
        "bytes_in": into,
        "bytes_out": out,
        "mean_request_bytes": (into + out) / max(1, requests),
    }


def _idle(counters: dict[str, int], unit: str, cycles: int) -> dict[str, int]:
    return {
        "no_input": counters[f"{unit}_stalled_in"],
        "no_output": counters[f"{unit}_stalled_out"],
        "nothing_to_do": cycles - counters[f"{unit}_busy"],
    }


def _idle_dpe(reports: list[dict[str, int]], cycles: int) -> dict[str, int]:
    busy = sum(report["cycles"] for report in reports)
    reasons = {
        reason: sum(report[name] for report in reports for name in names)
        for reason, names in REASONS.items()
    }
    return {**reasons, "nothing_to_do": cycles - busy}
