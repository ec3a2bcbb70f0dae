"""Where a run's tensors, states and rings lie in device memory, and heads' regions on the host."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex import UserError
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import DESCRIPTOR, LINE
from vrex_hw.kvmu.regions import Regions
from vrex_sim.packer import Packer
from vrex_sim.ports import Bytes

MOST = 65_535
"""Of what a descriptor has 16 bits for."""
MOST_JOBS = 1 << 15
"""Jobs of the largest ring."""
SHORTER = "make frames shorter"
Words = NDArray[np.uint16]
"""Bits of BF16 numbers."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A run of ``frames`` frames of up to ``tokens`` tokens, in lines of ``config``.

    ``q_heads`` and ``kv_heads`` are those of all ``layers``, layer by layer. Tensors lie as the
    trace has them, [F, T, heads, chunks]; one behind the other come the heads' states, the
    transient area, the hyperplanes, the rings of jobs and statuses, and the tensors.
    """

    config: Config
    frames: int
    tokens: int
    q_heads: int
    kv_heads: int
    head_dim: int
    hyperplanes: int
    host_tokens: int
    """Tokens of a head's region on the host: as many as the stream can have."""
    layers: int = 1

    @property
    def regions(self) -> Regions:
        """The sizes of a state."""
        return Regions(self.config)

    @property
    def chunks(self) -> int:
        """Lines of a key."""
        return -(-self.head_dim // self.config.lxe.side)

    @property
    def jobs(self) -> int:
        """Jobs of the run."""
        return self.frames * self.kv_heads

    @property
    def layer_heads(self) -> int:
        """KV heads of a layer."""
        return self.kv_heads // self.layers

    @property
    def ring_log2(self) -> int:
        """Log2 of the jobs of the ring, which holds all of them."""
        return max(1, (self.jobs - 1).bit_length())

    @property
    def host_lines(self) -> int:
        """Lines of the host."""
        return max(2, self.kv_heads * self.host_tokens * 2 * self.chunks)

    @cached_property
    def starts(self) -> dict[str, int]:
        """The first line of each part; ``end`` is the first behind them all."""
        regions, chunks, slot = self.regions, self.chunks, 1 << self.regions.slot_bits
        state = -(-regions.state_lines // slot) * slot
        queries = self.frames * self.tokens * self.q_heads * chunks
        keys = self.frames * self.tokens * self.kv_heads * chunks
        sizes = {
            "states": self.kv_heads * state,
            "transient": regions.transient_lines,
            "planes": self.hyperplanes * chunks,
            "ring": regions.job_lines << self.ring_log2,
            "statuses": 1 << self.ring_log2,
            "q": queries,
            "q_score": queries,
            "out": queries,
            "k": keys,
            "v": keys,
            "k_hash": keys,
        }
        ends = np.cumsum(list(sizes.values())).tolist()
        return dict(zip([*sizes, "end"], [0, *ends], strict=True))

    @property
    def state_stride(self) -> int:
        """Lines from one head's state to the next one's."""
        return self.starts["transient"] // self.kv_heads

    def check(self) -> None:
        """Raise :class:`~vrex.UserError`, naming the value, for a run that the core cannot be told.

        A descriptor has so many bits for rows and strides, an address of memory so many, and the
        ring so many jobs.
        """
        name, group = self.config.name, self.q_heads // self.kv_heads
        lines = min(1 << LINE, (1 << self.config.kvmu.address_bits) // self.regions.line_bytes)
        for what, value, most, mend in (
            ("jobs (frames times KV heads of all layers)", self.jobs, MOST_JOBS, "cut the trace"),
            (
                "rows of a job (T times query heads of a KV head)",
                self.tokens * group,
                MOST,
                SHORTER,
            ),
            ("lines of a token's queries", self.q_heads * self.chunks, MOST, "leave layers out"),
            ("lines of device memory", self.starts["end"], lines, "cut the trace"),
            ("lines of the host", self.host_lines, 1 << LINE, "cut the trace"),
        ):
            if value > most:
                raise UserError(
                    f"configuration {name}: {what} is {value}: the core takes {most} at most, "
                    f"so {mend}"
                )

    def state(self, head: int) -> int:
        """Return the first line of a head's state."""
        return self.starts["states"] + head * self.state_stride

    def host(self, head: int) -> int:
        """Return the first line of a head's region on the host."""
        return head * self.host_tokens * 2 * self.chunks

    def lines(self, tensor: Words) -> Bytes:
        """Return a tensor [..., d] as lines [n, bytes], its last chunk filled with zeros."""
        side = self.config.lxe.side
        padded = np.zeros((*tensor.shape[:-1], self.chunks * side), "<u2")
        padded[..., : self.head_dim] = tensor
        return padded.reshape(-1, side).view(np.uint8)

    def tensor(self, lines: Bytes, *shape: int) -> Words:
        """Return [*shape, d] from its lines."""
        words = np.ascontiguousarray(lines).view("<u2")
        return words.reshape(*shape, self.chunks * self.config.lxe.side)[..., : self.head_dim]

    def planes(self, planes: Words) -> Bytes:
        """Return hyperplanes [N, d] as lines: tile by tile, chunk by chunk, row by row."""
        side, size = self.config.lxe.side, 2 * self.config.lxe.side
        rows = self.lines(planes).reshape(-1, self.chunks, size)
        tiles = [rows[i : i + side].swapaxes(0, 1) for i in range(0, len(rows), side)]
        return np.concatenate([tile.reshape(-1, size) for tile in tiles])

    def ring(self, lengths: NDArray[np.int64], text: NDArray[np.bool_], fences: bool) -> Bytes:
        """Return the ring's jobs as lines: frame by frame, layer by layer, head by head.

        ``lengths`` [F]: live tokens; ``text`` [F]: which are text steps; with ``fences`` the first
        job of each layer waits until all before it have ended.
        """
        jobs = [
            self.job(
                *(f, h, int(lengths[f])),
                fence=fences and h % self.layer_heads == 0,
                text=bool(text[f]),
            )
            for f in range(self.frames)
            for h in range(self.kv_heads)
        ]
        return np.concatenate([self.descriptor(job) for job in jobs])

    def descriptor(self, job: dict[str, Any]) -> Bytes:
        """Return a job as the lines of the ring that it takes."""
        size, lines = self.regions.line_bytes, self.regions.job_lines
        packed = Packer(DESCRIPTOR).pack(job).to_bytes(size * lines, "little")
        return np.frombuffer(packed, np.uint8).reshape(-1, size)

    def name_of(self, job: int) -> str:
        """Return what a job of the run is, for people."""
        frame, head = divmod(job, self.kv_heads)
        layer, head = divmod(head, self.layer_heads)
        return f"frame {frame}" + (f", layer {layer}" if self.layers > 1 else "") + f", head {head}"

    def last_of_frame(self, job: int) -> bool:
        """Tell whether a job of the run is the last of its frame."""
        return job % self.kv_heads == self.kv_heads - 1

    def job(
        self, f: int, h: int, tokens: int, *, fence: bool, text: bool = False
    ) -> dict[str, Any]:
        """Return the descriptor of frame ``f`` of head ``h``."""
        group, chunks, at = self.q_heads // self.kv_heads, self.chunks, self.starts
        queries = (f * self.tokens * self.q_heads + h * group) * chunks
        keys = (f * self.tokens * self.kv_heads + h) * chunks
        return {
            "id": (f * self.kv_heads + h) & 0xFFFF,
            "fence": int(fence),
            "text": int(text),
            "state": self.state(h),
            "host": self.host(h),
            "host_tokens": self.host_tokens,
            **{name: at[name] + queries for name in ("q", "q_score", "out")},
            **{name: at[name] + keys for name in ("k", "v", "k_hash")},
            "tokens": tokens,
            "group": group,
            "kv_stride": self.kv_heads * chunks,
            "q_stride": self.q_heads * chunks,
        }
