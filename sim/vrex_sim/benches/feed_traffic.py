"""Feed jobs with a memory that holds what they read, and all that must come of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resv_ref.attention import light_attention
from vrex import Params
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import Area
from vrex_hw.kvmu.regions import Regions
from vrex_hw.lxe.layouts import Kind
from vrex_sim.benches.lxe_traffic import Traffic, bits
from vrex_sim.lxe_jobs import Beats, LXEJobs

Segment = tuple[Area, int, int]
"""Area, slot, tokens."""


@dataclass
class FeedTraffic:
    """Jobs in order, for one configuration and head dimension."""

    config: Config
    dimension: int
    seed: int = 1
    filler: int = 0
    """Bits of every element past d."""
    gap: int = 40
    """Most lines between two things in memory."""
    memory: dict[int, bytes] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    beats: list[Beats] = field(default_factory=list)
    """Of each command."""
    counted: list[np.ndarray] = field(default_factory=list)
    """Of each command: which beats of the matrix bring counts that the LXE looks at."""
    written: dict[int, bytes] = field(default_factory=dict)
    """Live elements of the lines of attention that must be written."""

    def __post_init__(self) -> None:
        """Place the hyperplanes."""
        self.regions, self.lxe = Regions(self.config), LXEJobs(self.config, self.dimension)
        self.wanted = Traffic(self.config)
        self._draw = np.random.default_rng(self.seed)
        self._torch = torch.Generator().manual_seed(self.seed)
        self._end = 1 << self.regions.slot_bits
        self.side, self.chunks = self.config.lxe.side, self.lxe.chunks
        self.planes = self._normal(self.config.hcu.hyperplanes)
        lines = [
            self._lines(self.planes[i : i + self.side])
            for i in range(0, len(self.planes), self.side)
        ]
        ordered = np.concatenate([tile.swapaxes(0, 1).reshape(-1, self.side) for tile in lines])
        self._planes_at = self._place(len(ordered))
        for number, line in enumerate(ordered):
            self.memory[self._planes_at + number] = line.tobytes()

    def upto(self, most: int) -> int:
        """Return a random number from 1 to ``most``."""
        return int(self._draw.integers(1, most + 1))

    def settings(self) -> dict[str, int]:
        """Return the feeder's plain inputs."""
        scale = 1 / math.sqrt(self.dimension)
        return {
            "dimension": self.dimension,
            "chunks_log2": (self.chunks - 1).bit_length(),
            "planes": self._planes_at,
            "hyperplanes": len(self.planes),
            "scale_score": _float(scale),
            "scale_attend": _float(math.log2(math.e) * scale),
            "map": 0,
            "temperature": 0,
        }

    def hash(self, tokens: int, skip: int = 0, loose: int = 0) -> None:
        """Hash all tokens but the first ``skip``; ``loose`` lines between two tokens."""
        keys = self._normal(tokens)
        address, stride = self._rows(keys.unsqueeze(1), loose)
        feed = {"kind": Kind.HASH, "address": address, "stride": stride, "tokens": tokens}
        self._job({**feed, "skip": skip, "group": 1 + skip})
        kept = keys[skip:]
        if skip < tokens:
            self._beats(self.lxe.hash(bits(kept), bits(self.planes)))
        for part in self._parts(kept):
            self.wanted.hash(part, self.planes)

    def score(self, tokens: int, group: int, clusters: int, loose: int = 0) -> None:
        """Score ``clusters`` means with the queries of a frame."""
        state = self._state()
        means = self._normal(clusters)
        counts = self._draw.integers(1, 1 << 16, clusters).astype(np.uint16)
        for i in range(0, clusters, self.side):
            tile, number = self._lines(means[i : i + self.side]), i // self.side
            for chunk in range(self.chunks):
                at = (number << self.regions.chunk_bits | chunk) * self.side
                for row in range(len(tile)):
                    line = state + self.regions.means + at + row
                    self.memory[line] = tile[row, chunk].tobytes()
            of_tile = np.full(self.side, 0xDEAD, np.uint16)
            of_tile[: len(tile)] = counts[i : i + self.side]
            self.memory[state + self.regions.counts + number] = of_tile.tobytes()
        rows = self._queries(Kind.SCORE, tokens, group, loose, state=state, columns=clusters)
        self._beats(self.lxe.score(bits(rows), bits(means), counts), clusters)
        for part in self._parts(rows):
            self.wanted.score(part, means, torch.from_numpy(counts.astype(np.int64)), Params())

    def attend(
        self, tokens: int, group: int, segments: list[Segment], loose: int = 0, kv_loose: int = 0
    ) -> None:
        """Attend ``segments`` and then the frame."""
        state = self._state()
        slots = self.config.wtu.entries << self.regions.slot_bits
        transient = self._place(slots, align=1 << self.regions.slot_bits)
        keys, values = [], []
        for area, slot, count in segments:
            k, v = self._normal(count), self._normal(count)
            base = transient if area == Area.TRANSIENT else state + self._area(area)
            at = base + (slot << self.regions.slot_bits)
            for value, x in enumerate((k, v)):
                for token, line in enumerate(self._lines(x)):
                    for chunk in range(self.chunks):
                        place = (
                            value << self.regions.chunk_bits | chunk
                        ) << self.regions.token_bits
                        self.memory[at + place + token] = line[chunk].tobytes()
            keys.append(k)
            values.append(v)
        frame_k, frame_v = self._normal(tokens), self._normal(tokens)
        k_at, kv_stride = self._rows(frame_k.unsqueeze(1), kv_loose)
        v_at, _ = self._rows(frame_v.unsqueeze(1), kv_loose)
        k, v = torch.cat([*keys, frame_k]), torch.cat([*values, frame_v])
        before = len(k) - tokens
        fields = {"state": state, "transient": transient, "columns": len(k)}
        fields |= {"k": k_at, "v": v_at, "kv_stride": kv_stride}
        rows = self._queries(Kind.ATTEND, tokens, group, loose, **fields)
        limits = before + 1 + torch.arange(tokens).repeat(group)
        listed = [*segments, (Area.FRAME, 0, tokens)]
        self.jobs[-1]["segments"] = [list(map(int, segment)) for segment in listed]
        self._beats(self.lxe.attend(bits(rows), bits(k), bits(v), limits.numpy()))
        self.wanted.kinds += [int(Kind.ATTEND)] * len(self._parts(rows))
        lxe = self.config.lxe
        out = light_attention(rows, k, v, limits, beat=lxe.side, window=lxe.window)
        self._write(out.reshape(group, tokens, -1), loose)

    def random_segments(self, most: int, single: float = 0.2) -> list[Segment]:
        """Return segments of all areas, in no order, each slot once at most."""
        room, kvmu = self.config.kvmu.slot_tokens, self.config.kvmu
        areas = {Area.WINDOW: kvmu.window_slots, Area.RESIDENT: kvmu.resident_slots}
        places = [(Area.SINKS, 0)]
        places += [(area, slot) for area, slots in areas.items() for slot in range(slots)]
        places += [(Area.TRANSIENT, slot) for slot in range(self.config.wtu.entries)]
        chosen = self._draw.permutation(len(places))[: self.upto(most)]
        counts = [1 if self._draw.random() < single else self.upto(room) for _ in chosen]
        return [(*places[i], count) for i, count in zip(chosen, counts, strict=True)]

    def empty(self, kind: Kind) -> None:
        """Add a job that has no rows: of a frame that is all skipped, or of no token."""
        hashes = kind == Kind.HASH
        fields = {"tokens": 3, "skip": 3, "group": 2} if hashes else {"tokens": 2, "group": 0}
        self._job({"kind": kind, "address": 7, "stride": 1, "columns": 5, **fields})

    def arguments(self) -> dict[str, Any]:
        """Return what the bench needs."""
        return {
            "config": self.config.to_dict(),
            "settings": self.settings(),
            "jobs": self.jobs,
            "addresses": np.array(list(self.memory), np.int64),
            "lines": np.frombuffer(b"".join(self.memory.values()), np.uint8).reshape(
                -1, 2 * self.side
            ),
            "expected": {
                "command": len(self.beats),
                "activation": sum(len(b.activation) for b in self.beats),
                "matrix": sum(len(b.matrix) for b in self.beats),
                "hash": len(self.wanted.hashes),
                "weights": self.wanted.arguments()["expected"]["weights"],
                "report": len(self.beats),
            },
        }

    def _beats(self, commands: Iterator[Beats], clusters: int = 0) -> None:
        """Expect ``commands``; counts come with the first chunk of each tile of ``clusters``."""
        heights = [min(self.side, clusters - i) for i in range(0, clusters, self.side)]
        tiles = [np.arange(h * self.chunks) < h for h in heights]
        once = np.concatenate([np.zeros(0, bool), *tiles])
        for beats in commands:
            n = len(beats.matrix)
            self.beats.append(beats)
            self.counted.append(np.tile(once, n // len(once)) if len(once) else np.zeros(n, bool))

    def _job(self, feed: dict[str, int]) -> None:
        self.jobs.append({"feed": {k: int(v) for k, v in feed.items()}})

    def _queries(self, kind: Kind, tokens: int, group: int, loose: int, **fields: int) -> Tensor:
        """Place queries [T, G, d] and add their job; return its rows [G * T, d]."""
        queries = self._normal(tokens * group).reshape(tokens, group, self.dimension)
        address, stride = self._rows(queries, loose)
        feed = {"kind": kind, "address": address, "stride": stride, "tokens": tokens}
        self._job({**feed, "group": group, "skip": 3, **fields})
        return queries.swapaxes(0, 1).reshape(-1, self.dimension)

    def _write(self, out: Tensor, loose: int) -> None:
        """Expect ``out`` [G, T, d] to be written."""
        group, tokens, _ = out.shape
        stride = group * self.chunks + loose
        base = self._place(stride * tokens + 2)
        write = {"out": base + 1, "stride": stride, "tokens": tokens, "group": group}
        self.jobs[-1]["write"] = {**write, "base": base, "size": stride * tokens + 2}
        for g in range(group):
            for t, row in enumerate(self._lines(out[g])):
                for c in range(self.chunks):
                    live = min(self.side, self.dimension - c * self.side)
                    at = base + 1 + t * stride + g * self.chunks + c
                    self.written[at] = row[c, :live].tobytes()

    def _rows(self, x: Tensor, loose: int) -> tuple[int, int]:
        """Place ``x`` [T, G, d]; return its address and its stride."""
        tokens, group, _ = x.shape
        stride = group * self.chunks + loose
        address = self._place(stride * tokens)
        for t in range(tokens):
            for n, line in enumerate(self._lines(x[t]).reshape(-1, self.side)):
                self.memory[address + t * stride + n] = line.tobytes()
        return address, stride

    def _area(self, area: Area) -> int:
        return int(getattr(self.regions, area.name.lower()))

    def _state(self) -> int:
        return self._place(self.regions.state_lines, align=1 << self.regions.slot_bits)

    def _place(self, lines: int, align: int = 1) -> int:
        """Return the first of so many lines that nothing else has."""
        at = self._end + int(self._draw.integers(0, self.gap + 1))
        at = -(-at // align) * align
        self._end = at + lines
        return at

    def _normal(self, rows: int) -> Tensor:
        return torch.randn(rows, self.dimension, generator=self._torch).bfloat16()

    def _parts(self, rows: Tensor) -> list[Tensor]:
        return list(rows.split(self.lxe.batches(len(rows)))) if len(rows) else []

    def _lines(self, x: Tensor) -> np.ndarray:
        """Return [n, chunks, side] bits."""
        padded = np.full((len(x), self.chunks * self.side), self.filler, np.uint16)
        padded[:, : self.dimension] = bits(x)
        return padded.reshape(len(x), self.chunks, self.side)


def _float(value: float) -> int:
    return int(np.float32(value).view(np.uint32))
