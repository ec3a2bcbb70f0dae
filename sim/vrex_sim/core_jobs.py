"""A trace as the core's host takes it, and what the core gave as the tensors of a run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resv_ref import trace as traces
from resv_ref.trace import Trace
from vrex import Params
from vrex_hw.config import Config
from vrex_sim import jobs, rows
from vrex_sim.jobs import Jobs, Result
from vrex_sim.lxe_jobs import LXEJobs

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CoreJobs:
    """A trace under ``params`` for hardware of ``config``."""

    config: Config
    params: Params
    trace: Trace

    def arguments(self) -> dict[str, Any]:
        """Return what :class:`vrex_sim.core_host.CoreHost` needs to know; BF16 as its bits."""
        trace, params = self.trace, self.params
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
        work = self._jobs(np.zeros((trace.frames, trace.kv_heads), np.int64), 0)
        return {
            "config": self.config.to_dict(),
            "settings": jobs.settings(trace, params),
            "lengths": work.lengths,
            "first_tokens": work.first_tokens,
            "sinks": params.n_sinks,
            "map": [params.score_map, params.score_temperature],
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
        work = self._jobs(given["scored"], max(columns, int(given["scored"].max(initial=0))))
        found = jobs.decode(work, given)
        tensors, cycles = dict(found.tensors), dict(found.cycles)
        for name in ("row_selected", "selected"):
            tensors[name] = tensors[name][..., :columns]
        tensors["hash_bits"], cycles["hash_bits"] = self._hash_bits(work, given, expected)
        tensors["weights"], cycles["weights"] = self._weights(work, given, columns)
        tensors["attn_out"], cycles["attn_out"] = self._attention(work, given)
        return Result(tensors=tensors, cycles=cycles, faults=found.faults)

    def _jobs(self, scored: Ints, columns: int) -> Jobs:
        trace = self.trace
        lengths = trace.frame_lengths.numpy().astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        return Jobs(
            lengths=lengths,
            first_tokens=np.clip(self.params.n_sinks - starts, 0, lengths),
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
        trace = self.trace
        layout = LXEJobs(self.config, trace.head_dim)
        out = np.zeros((*trace.q.shape[:3], trace.head_dim), np.int16)
        when = np.zeros(out.shape[:3], np.int64)
        at = 0
        for f, length in enumerate(work.lengths.tolist()):
            for h in range(trace.kv_heads):
                found, cycle = [], []
                for count in layout.batches(work.group * length):
                    span = slice(at, at + count * layout.chunks)
                    found.append(layout.attention(given["attention"][span]))
                    cycle += given["attention_cycle"][span].tolist()[-count:]
                    at = span.stop
                rows_ = np.concatenate(found).view(np.int16)
                own = slice(h * work.group, (h + 1) * work.group)
                of_frame = rows_.reshape(work.group, length, -1).swapaxes(0, 1)
                out[f, :length, own] = of_frame
                when[f, :length, own] = np.reshape(cycle, (work.group, length)).T
        return out, when


def bits(tensor: Tensor) -> NDArray[np.uint16]:
    """Return the bits of a bfloat16 tensor."""
    return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
