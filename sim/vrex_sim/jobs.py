"""The KVPU's jobs of a run, and its beats as the tensors of a run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resv_ref.trace import Trace
from vrex import Params
from vrex_sim import rows, sizing
from vrex_sim.compare import describe

Ints = NDArray[np.int64]


def settings(trace: Trace, params: Params, stored: int = 0) -> dict[str, int]:
    """Return what the core's registers hold; ``stored``: tokens of the stream before the trace."""
    recent, join = sizing.windows(trace, params, stored)
    text = params.at(text=True)
    return {
        "hamming_threshold": params.hamming_threshold,
        "join_window": join,
        "cluster_cap": sizing.cap(trace, params, stored),
        "recent_window": recent,
        "ratio": params.ratio_fixed,
        "k_min": params.k_min,
        "k_max": params.k_max_fixed,
        "text_k_min": text.k_min,
        "text_k_max": text.k_max_fixed,
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Jobs:
    """The jobs of a run: frame by frame, KV head by KV head, a cluster and a select job each."""

    lengths: Ints
    """[F]: live tokens of each frame."""
    first_tokens: Ints
    """[F]: for each frame its first token that is no sink; its length if all are."""
    tokens: int
    """T: tokens of a frame, padding included."""
    group: int
    """G: query heads that share a KV head."""
    clusters: Ints
    """[F, Hkv]: clusters of each row."""
    columns: int
    """C: the most of them."""
    lanes: int
    """Of the WTU."""

    @property
    def rows(self) -> Ints:
        """[F, Hkv]: rows of each select job, 0 where nothing is sealed."""
        return self.group * self.lengths[:, None] * (self.clusters > 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What the hardware said, and in which cycle it said each element."""

    tensors: dict[str, NDArray[Any]]
    """``cluster`` [F, T, Hkv], ``sealed`` [F, Hkv], ``row_selected`` [F, Hq, T, C] and
    ``selected`` [F, Hkv, C]."""
    cycles: dict[str, Ints]
    """The same names and shapes, without the last axis C."""
    faults: list["Fault"]
    """What contradicts itself: numbers out of range, twice, or not ascending; wrong trailers."""


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong."""

    cycle: int
    text: str


def decode(work: Jobs, given: dict[str, Any]) -> Result:
    """Turn what the bench gave back into tensors."""
    cluster, sealed = _clusters(work, rows.Beats.of(given, "assign"))
    of_rows, of_heads = rows.Beats.of(given, "row"), rows.Beats.of(given, "selected")
    packets, width = int(work.rows.sum()), work.columns + 1
    row_selected = rows.selected(of_rows, packets, width, work.lanes)
    selected = rows.united(of_heads, work.rows.size, width)
    faults = [
        *_faults("row_selected", of_rows, row_selected),
        *_faults("selected", of_heads, selected),
        *_descents(of_heads),
    ]
    frames, heads = work.rows.shape
    spread, spread_cycles = _spread(
        work, row_selected, of_rows.cycle[of_rows.last], given["cycles"]
    )
    shape = (frames, heads, -1)
    return Result(
        tensors={
            "cluster": cluster[0],
            "sealed": sealed[0],
            "row_selected": spread,
            "selected": selected[:, :-1].reshape(frames, heads, work.columns),
        },
        cycles={
            "cluster": cluster[1],
            "sealed": sealed[1],
            "row_selected": spread_cycles,
            "selected": of_heads.cycle[of_heads.last].reshape(shape)[:, :, 0],
        },
        faults=faults,
    )


def _clusters(
    work: Jobs, beats: rows.Beats
) -> tuple[tuple[NDArray[Any], Ints], tuple[NDArray[Any], Ints]]:
    """Return cluster and sealed, each with its cycles, from ``m_axis_assign``."""
    (frames, heads), tokens = work.rows.shape, work.tokens
    cluster = np.full((frames, tokens, heads), -1, dtype=np.int32)
    cycle = np.zeros(cluster.shape, dtype=np.int64)
    sealed = np.zeros((frames, heads), dtype=np.int32)
    sealed_cycle = np.zeros(sealed.shape, dtype=np.int64)
    numbers, at = beats.numbers(), 0
    for f, (first, end) in enumerate(zip(work.first_tokens, work.lengths, strict=True)):
        for h in range(heads if end > first else 0):
            trailer = at + end - first
            cluster[f, first:end, h] = numbers[at:trailer]
            cycle[f, first:end, h] = beats.cycle[at:trailer]
            sealed[f + 1 :, h] = numbers[trailer]
            sealed_cycle[f + 1 :, h] = beats.cycle[trailer]
            at = trailer + 1
    return (cluster, cycle), (sealed, sealed_cycle)


def _spread(
    work: Jobs, packets: NDArray[np.bool_], cycles: Ints, end_of_run: int
) -> tuple[NDArray[np.bool_], Ints]:
    """Lay the rows out as [F, Hq, T, C], padding included, and their cycles as [F, Hq, T].

    Rows that were not sent count as told at the end of the run.
    """
    frames, heads = work.rows.shape
    tokens, group = work.tokens, work.group
    out = np.zeros((frames, heads * group, tokens, work.columns), dtype=bool)
    when = np.full((frames, heads * group, tokens), end_of_run, dtype=np.int64)
    at = 0
    for f, h in np.argwhere(work.rows > 0):
        end, live = at + work.rows[f, h], work.lengths[f]
        own = slice(h * group, (h + 1) * group)
        out[f, own, :live] = packets[at:end, :-1].reshape(group, live, -1)
        when[f, own, :live] = cycles[at:end].reshape(group, live)
        at = end
    return out, when


def _faults(name: str, beats: rows.Beats, hits: NDArray[np.bool_]) -> list[Fault]:
    """Return what is wrong with the packets of a stream by themselves."""
    trailers = np.flatnonzero(beats.last)
    wrong = (beats.results()[trailers] >> 17 & 1 != 0) | hits[:, -1]
    wrong |= beats.numbers()[trailers] != hits.sum(1)
    return [
        Fault(
            int(beats.cycle[trailers[p]]),
            f"core, cycle {beats.cycle[trailers[p]]}: packet {p} of {name} has a trailer "
            f"{beats.results()[trailers[p]]:#x} over {hits[p].sum()} clusters",
        )
        for p in np.flatnonzero(wrong)[:1]
    ]


def _descents(beats: rows.Beats) -> list[Fault]:
    """Return the first place where a union does not ascend."""
    numbers, packet = beats.numbers()[~beats.last], beats.packets()[~beats.last]
    cycle = beats.cycle[~beats.last]
    falls = np.flatnonzero((np.diff(numbers) <= 0) & (np.diff(packet) == 0))
    return [
        Fault(int(cycle[i + 1]), f"core, cycle {cycle[i + 1]}: selected does not ascend")
        for i in falls[:1]
    ]


def _plain(tensor: Tensor) -> NDArray[Any]:
    """Return ``tensor``, bfloat16 as its bits."""
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def compare(got: Result, expected: dict[str, Tensor]) -> Fault | None:
    """Return the first fault in time, its text with the number of all mismatches, or None."""
    faults, total = list(got.faults), 0
    for name, tensor in got.tensors.items():
        wanted = _plain(expected[name])
        places = np.argwhere(tensor != wanted)
        total += len(places)
        if len(places):
            when = got.cycles[name]
            of_place = when[tuple(places[:, : when.ndim].T)]
            index = tuple(int(i) for i in places[np.argmin(of_place)])
            cycle = int(of_place.min())
            text = describe("core", name, index, wanted[index], tensor[index], cycle)
            faults.append(Fault(cycle, text))
    if not faults:
        return None
    first = min(faults, key=lambda fault: fault.cycle)
    return Fault(
        first.cycle, f"{total} mismatches with the exact reference, the first: {first.text}"
    )
