"""A trace as the core's host takes it, and what the core gave as the tensors of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resv_ref import ReSV
from resv_ref import trace as traces
from resv_ref.trace import Trace
from vrex import Params
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import Policy
from vrex_sim import jobs, rows, sizing, states
from vrex_sim.jobs import Jobs, Result
from vrex_sim.placement import Placement

Ints = NDArray[np.int64]
KNOBS = {
    "memory_latency": 40,
    "memory_stall": 0,
    "memory_read_fault_at": 0,
    "memory_write_fault_at": 0,
    "link_latency": 200,
    "link_interval": 16,
    "link_stall": 0,
    "link_fault": 0,
    "link_fault_at": 0,
    "link_late": 0,
}
"""The behavioural memory and link of a run, unless told otherwise: cycles, and chances in 256."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run's hardware is told beside the trace."""

    policy: Policy = Policy.FREQUENCY
    """Which resident clusters give way."""
    room: int | None = None
    """Resident slots of a head, 0 or more; None: all that the hardware has."""
    fences: bool | None = None
    """Whether the first job of a layer waits for all before it; None: where the queries that score
    are of the same layer, which begins when the one before has ended."""
    knobs: Mapping[str, int] = field(default_factory=dict)
    """What differs from :data:`KNOBS`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoreJobs:
    """A trace under ``params`` for hardware of ``config``."""

    config: Config
    params: Params
    trace: Trace
    """Without an axis of layers, or merged (:func:`resv_ref.layers.merge`)."""
    layers: int | None = None
    """How many are merged; None: the trace has no such axis."""
    setup: Setup = field(default_factory=Setup)
    before: ReSV | None = None
    """What the heads hold when the trace begins; None: nothing."""

    @property
    def placement(self) -> Placement:
        """Where the run lies in memory."""
        return Placement(config=self.config, **self._sizes())

    @property
    def fences(self) -> bool:
        """Whether layers wait for each other."""
        chosen = self.setup.fences
        return self.params.query == "same_layer" if chosen is None else chosen

    @property
    def room(self) -> int:
        """Resident slots that a head may use."""
        return self.config.kvmu.resident_slots if self.setup.room is None else self.setup.room

    @property
    def told(self) -> dict[str, Any]:
        """What the hardware is told beside the trace, for a summary."""
        return {
            "policy": self.setup.policy.name.lower(),
            "room": self.room,
            "fences": self.fences,
        }

    def arguments(self) -> dict[str, Any]:
        """Return what :class:`vrex_sim.core_host.CoreHost` needs to know; BF16 as its bits."""
        trace, params, setup = self.trace, self.params, self.setup
        keys = trace.k_hash if params.hash_keys == "pre_rope" else trace.k
        queries = trace.q_retrieve if params.query == "previous_layer" else trace.q
        tensors = {
            "q": trace.q,
            "q_score": queries,
            "k": trace.k,
            "v": trace.v,
            "k_hash": keys,
            "planes": traces.hyperplanes(trace),
        }
        return {
            "config": self.config.to_dict(),
            "sizes": self._sizes(),
            "settings": jobs.settings(trace, params, self.stored),
            "lengths": trace.frame_lengths.numpy().astype(np.int64),
            "text": trace.text_steps.numpy(),
            "sinks": sizing.sinks(trace, params, self.stored),
            "map": [params.score_map, params.score_temperature],
            "policy": int(setup.policy),
            "room": self.room,
            "fences": self.fences,
            "knobs": {**KNOBS, **setup.knobs},
            **self._images(),
            **{name: bits(tensor) for name, tensor in tensors.items() if tensor is not None},
        }

    def decode(self, given: dict[str, Any], expected: dict[str, Tensor]) -> Result:
        """Return the tensors of a run from what the host gave back.

        They have the shapes of ``expected``, of which nothing else is used but the hash bits of
        sinks, which the hardware leaves out; what lies outside of the shapes is dropped where
        ``sealed`` differs as well. Beside those of :func:`vrex_sim.jobs.decode` there are
        ``hash_bits``, ``weights`` and ``attn_out``, this one as the bits of its BF16 numbers.
        """
        columns = expected["weights"].shape[3]
        scored = self._scored(given)
        work = self._jobs(scored, max(columns, int(scored.max(initial=0))))
        found = jobs.decode(work, given)
        tensors, cycles = dict(found.tensors), dict(found.cycles)
        for name in ("row_selected", "selected"):
            tensors[name] = tensors[name][..., :columns]
        tensors["sealed"] = scored.astype(np.int32)
        tensors["hash_bits"], cycles["hash_bits"] = self._hash_bits(work, given, expected)
        tensors["weights"], cycles["weights"] = self._weights(work, given, columns)
        tensors["attn_out"], cycles["attn_out"] = self._attention(work, given)
        return Result(tensors=tensors, cycles=cycles, faults=found.faults)

    def _images(self) -> dict[str, Any]:
        """Return the lines that device memory and host hold when the run begins."""
        images = states.new(self.placement)
        if self.before is not None:
            images = states.images(self.placement, self.before)
        return {f"{where}_{part}": of for where, i in images.items() for part, of in i.items()}

    def _sizes(self) -> dict[str, int]:
        trace = self.trace
        names = ("frames", "tokens", "q_heads", "kv_heads", "head_dim")
        sizes = {name: int(getattr(trace, name)) for name in names}
        own = int(trace.frame_lengths.sum()) + self.stored
        return {
            **sizes,
            "hyperplanes": self.params.n_hyperplanes,
            "host_tokens": own,
            "layers": self.layers or 1,
        }

    @property
    def stored(self) -> int:
        """Tokens of the stream before the trace."""
        return 0 if self.before is None else self.before.stored

    def _scored(self, given: dict[str, Any]) -> Ints:
        """Return [F, Hkv]: clusters sealed when the frame was scored, as the HCU's trailers say."""
        trace = self.trace
        scored = np.zeros((trace.frames + 1, trace.kv_heads), np.int64)
        if self.before is not None:
            scored[0] = [table.sealed for table in self.before.tables]
        beats = rows.Beats.of(given, "assign")
        trailers = iter(beats.numbers()[beats.last].tolist())
        for f in range(trace.frames):
            for h in range(trace.kv_heads):
                clustered = self._first_tokens()[f] < trace.frame_lengths[f]
                scored[f + 1, h] = next(trailers) if clustered else scored[f, h]
        return scored[:-1]

    def _first_tokens(self) -> Ints:
        lengths = self.trace.frame_lengths.numpy().astype(np.int64)
        starts = np.cumsum(lengths) - lengths + self.stored
        return np.clip(self.params.n_sinks - starts, 0, lengths)

    def _jobs(self, scored: Ints, columns: int) -> Jobs:
        trace = self.trace
        return Jobs(
            lengths=trace.frame_lengths.numpy().astype(np.int64),
            first_tokens=self._first_tokens(),
            tokens=trace.tokens,
            group=trace.q_heads // trace.kv_heads,
            clusters=scored,
            columns=columns,
            lanes=self.config.wtu.lanes,
        )

    def _hash_bits(
        self, work: Jobs, given: dict[str, Any], expected: dict[str, Tensor]
    ) -> tuple[NDArray[Any], Ints]:
        out = expected["hash_bits"].numpy().copy()
        when = np.zeros(out.shape, np.int64)
        words = np.zeros((len(given["hash"]), 8), np.uint8)
        words[:, : given["hash"].shape[1]] = given["hash"]
        found, at = words.view("<i8")[:, 0], 0
        for f, (first, end) in enumerate(zip(work.first_tokens, work.lengths, strict=True)):
            for h in range(out.shape[2]):
                span = slice(at, at + end - first)
                out[f, first:end, h] = found[span]
                when[f, first:end, h] = given["hash_cycle"][span]
                at = span.stop
        return out, when

    def _weights(
        self, work: Jobs, given: dict[str, Any], columns: int
    ) -> tuple[NDArray[Any], Ints]:
        trace, lanes = self.trace, self.config.wtu.lanes
        out = np.zeros((trace.frames, trace.q_heads, trace.tokens, columns), np.int32)
        when = np.full(out.shape[:3], given["cycles"], np.int64)
        entries, at = rows.weights(given["weights"], lanes), 0
        for f, h in np.argwhere(work.rows > 0):
            n, length = int(work.clusters[f, h]), int(work.lengths[f])
            beats = -(-n // lanes)
            span = slice(at, at + int(work.rows[f, h]) * beats)
            own = slice(h * work.group, (h + 1) * work.group)
            of_job = entries[span].reshape(work.group, length, -1)[:, :, : min(n, columns)]
            out[f, own, :length, : of_job.shape[2]] = of_job
            last = given["weights_cycle"][span].reshape(work.group, length, beats)[:, :, -1]
            when[f, own, :length] = last
            at = span.stop
        return out, when

    def _attention(self, work: Jobs, given: dict[str, Any]) -> tuple[NDArray[Any], Ints]:
        """Return [F, T, Hq, d] from memory; what is not live was never written."""
        trace = self.trace
        words = self.placement.tensor(given["attention"], *trace.q.shape[:3])
        live = np.arange(trace.tokens) < work.lengths[:, None]
        out = np.where(live[:, :, None, None], words.view(np.int16), 0)
        ended = given["status_cycle"].reshape(trace.frames, trace.kv_heads)
        when = np.repeat(ended, work.group, axis=1)[:, None]
        return out, np.broadcast_to(when, out.shape[:3])


def bits(tensor: Tensor) -> NDArray[np.uint16]:
    """Return the bits of a bfloat16 tensor."""
    return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
