"""The manifest of emitted hardware: what a user needs to know to bolt it on."""

from collections.abc import Iterator
from typing import Any

from amaranth import Shape
from amaranth.lib import data

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.kvpu.layouts import stream_layouts
from vrex_hw.lxe.layouts import COLUMN_BITS
from vrex_hw.registers import CORE, KVPU
from vrex_hw.registers.kvpu import QUEUE_DEPTH
from vrex_hw.registers.model import VERSION

REGISTERED = {"core": CORE, "kvpu": KVPU}
"""The tops that have registers, and which."""
FORMAT = 1
"""Version of the manifest's own form."""


def describe(
    config: Config, top: str, ports: list[dict[str, Any]], files: dict[str, str]
) -> dict[str, Any]:
    """Return the manifest as plain values.

    ``ports`` are those of the emitted module ``top``, ``files`` the SHA-256 of each file.
    """
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "top": top,
        "configuration": config.to_dict(),
        "fingerprint": f"{config.fingerprint:#010x}",
        "clock": "clk",
        "reset": {"name": "rst", "active": "high", "synchronous": True},
        "ports": ports,
        "derived": _derived(config),
        "limits": _limits(config),
        "cycles": _cycles(config),
    }
    if top in REGISTERED:
        there = {port["name"].removesuffix("_tdata") for port in ports}
        manifest["streams"] = {
            name: {"tdata_bits": layout.size, "fields": fields(layout)}
            for name, layout in stream_layouts(config).items()
            if name in there
        }
        manifest["register_map_version"] = f"{VERSION:#010x}"
        manifest["registers"] = {r.name: f"{r.offset:#05x}" for r in REGISTERED[top].registers}
    manifest["files"] = files
    return manifest


def fields(layout: data.Layout) -> dict[str, list[int]]:
    """Return [lowest bit, bits] of each field by name, arrays and structures spelt out."""
    return dict(_walk("", 0, layout))


def _walk(prefix: str, base: int, shape: Any) -> Iterator[tuple[str, list[int]]]:
    """Yield name and [lowest bit, bits] of every field that is not padding."""
    if not isinstance(shape, data.Layout):
        yield prefix, [base, Shape.cast(shape).width]
        return
    for key, field in shape:
        if key != "padding":
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from _walk(name, base + field.offset, field.shape)


def _derived(config: Config) -> dict[str, int]:
    """Sizes that follow from the configuration's."""
    return {
        "hcu_phases": config.hcu.phases,
        "hcu_compares_a_cycle_times_phases": config.hcu.accumulators,
        "wtu_words": config.wtu.words,
        "wtu_lane_bits": config.wtu.lane_bits,
        "wtu_word_bits": config.wtu.word_bits,
        "queue_depth": QUEUE_DEPTH,
        "lxe_chunks": config.chunks,
    }


def _limits(config: Config) -> dict[str, int]:
    """The largest of everything that a job may ask for."""
    return {
        "longest_row": config.wtu.entries,
        "most_sealed_clusters_of_a_head": config.wtu.entries,
        "most_clusters_of_a_head": (1 << NUMBER_BITS) - 1,
        "join_window": config.hcu.joinable,
        "open_clusters_and_tokens_of_a_job": config.hcu.open,
        "hash_bits": config.hcu.hyperplanes,
        "rows_of_a_select_job": 0xFFFF,
        "rows_of_a_command": config.lxe.rows,
        "head_dimension": max(config.head_dims),
        "columns_of_an_attend_command": (1 << COLUMN_BITS) - 1,
        "tokens_of_a_cluster": 0xFFFF,
    }


def _cycles(config: Config) -> dict[str, int]:
    """Latencies and rates that hold whatever the data are, in clock cycles."""
    return {
        "register_write": 2,
        "register_read": 3,
        "command_to_job": 3,
        "compare_of_one_word": config.hcu.phases,
        "table_entry": config.hcu.phases,
        "row_beat": 1,
        "aggregator_word": 1,
        "aggregator_ready_after_reset": config.wtu.words + 2,
    }
