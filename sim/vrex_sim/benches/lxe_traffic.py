"""Commands for the LXE: what goes in, in the order it wants, and what must come out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resv_ref import numerics
from resv_ref.attention import attention_scale, light_attention
from vrex import Params
from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Kind, Layouts, ScoreMap
from vrex_hw.vpe.mean import job_layout
from vrex_sim.packer import Packer

GARBAGE = 0x7FC1
"""A NaN in every place that has no meaning: it must not be seen anywhere."""


def bits(x: Tensor) -> np.ndarray:
    """Return the bits of bfloat16 or float32 ``x``."""
    wide = x.dtype == torch.float32
    ints = x.contiguous().view(torch.int32 if wide else torch.int16).numpy()
    return ints.view(np.uint32 if wide else np.uint16)


@dataclass
class Traffic:
    """Commands and their beats, for one configuration."""

    config: Config
    commands: list[dict[str, int]] = field(default_factory=list)
    activation: list[bytes] = field(default_factory=list)
    matrix: list[bytes] = field(default_factory=list)
    mean_job: list[bytes] = field(default_factory=list)
    mean_key: list[bytes] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    weights: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    """A row's weights and counts."""
    attention: list[np.ndarray] = field(default_factory=list)
    """[side] bits a beat."""
    means: list[np.ndarray] = field(default_factory=list)
    """Of every job."""
    kinds: list[int] = field(default_factory=list)
    """Of every report."""

    def hash(self, keys: Tensor, planes: Tensor) -> None:
        """Hash ``keys`` [T, d]."""
        self._command(Kind.HASH, keys, len(planes), 1.0)
        self._activations(keys)
        self._rows(planes)
        lxe = self.config.lxe
        sums = numerics.matmul(keys, planes, beat=lxe.side, window=lxe.window)
        self.hashes += [sum(int(b) << m for m, b in enumerate(row > 0)) for row in sums]

    def score(self, queries: Tensor, means: Tensor, counts: Tensor, params: Params) -> None:
        """Score ``means`` [C, d] with token counts [C] for ``queries`` [R, d]."""
        lxe = self.config.lxe
        scale = 1 / math.sqrt(queries.shape[-1])
        temperature = round(math.log2(params.score_temperature))
        map_ = int(ScoreMap[params.score_map.upper()])
        self._command(Kind.SCORE, queries, len(means), scale, map=map_, temperature=temperature)
        self._activations(queries)
        for _ in range(-(-len(queries) // lxe.score_rows)):
            self._rows(means, counts.numpy().astype(np.uint16))
        dots = numerics.matmul(queries, means, beat=lxe.side, window=lxe.window)
        weights = numerics.weights(numerics.scale(dots, queries.shape[-1]), params)
        self.weights += [(row.numpy(), counts.numpy()) for row in weights]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, limits: Tensor) -> None:
        """Attend ``k`` and ``v`` [N, d] with ``q`` [R, d], row r its first ``limits[r]``."""
        lxe, n = self.config.lxe, len(k)
        self._command(Kind.ATTEND, q, n, float(attention_scale(q.shape[-1])))
        self._activations(q, limits)
        tiles = max(1, -(-n // lxe.side))
        for i in range(tiles + 1):
            if i < tiles:
                self._tile(k[i * lxe.side : (i + 1) * lxe.side])
            if i > 0:
                self._tile(v[(i - 1) * lxe.side : i * lxe.side])
        out = light_attention(q, k, v, limits, beat=lxe.side, window=lxe.window)
        for chunk in self._chunks(out, 0).swapaxes(0, 1):
            self.attention += list(chunk)

    def mean(self, keys: Tensor) -> None:
        """Take the mean of ``keys`` [n, d]."""
        job = {"tokens": len(keys), "dimension": keys.shape[-1]}
        self.mean_job.append(_pack(Packer(job_layout(self.config)), job))
        self.mean_key += [chunk.tobytes() for key in self._chunks(keys) for chunk in key]
        total = torch.zeros(keys.shape[-1])
        for key in keys:
            total = numerics.fp32.add(total, numerics.from_bf16(key))
        self.means.append(bits(numerics.mean_bf16(total, torch.tensor(len(keys)))))

    def refused(self, **fields: int) -> None:
        """Send a command that cannot be done: nothing comes of it but a report."""
        good = {"kind": 0, "rows": 1, "dimension": 8, "columns": 1, "scale": 0}
        self.commands.append({**good, "map": 0, "temperature": 0, **fields})
        self.kinds.append(self.commands[-1]["kind"])

    def _command(self, kind: Kind, rows: Tensor, columns: int, scale: float, **more: int) -> None:
        command = {
            "kind": int(kind),
            "rows": len(rows),
            "dimension": rows.shape[-1],
            "columns": columns,
            "scale": int(bits(torch.tensor([scale], dtype=torch.float32))[0]),
            "map": more.get("map", 0),
            "temperature": more.get("temperature", 0) & 15,
        }
        self.commands.append(command)
        self.kinds.append(int(kind))

    def _chunks(self, x: Tensor, filler: int = GARBAGE) -> np.ndarray:
        """Return [n, chunks, side] bits; the last chunk is filled up."""
        side = self.config.lxe.side
        n, d = x.shape
        chunks = -(-d // side)
        padded = np.full((n, chunks * side), filler, dtype=np.uint16)
        padded[:, :d] = bits(x)
        return padded.reshape(n, chunks, side)

    def _activations(self, x: Tensor, limits: Tensor | None = None) -> None:
        for r, row in enumerate(self._chunks(x)):
            limit = 0x5A5A5A if limits is None else int(limits[r])
            self.activation += [chunk.tobytes() + limit.to_bytes(3, "little") for chunk in row]

    def _rows(self, x: Tensor, counts: np.ndarray | None = None) -> None:
        side = self.config.lxe.side
        for i in range(0, len(x), side):
            self._tile(x[i : i + side], None if counts is None else counts[i : i + side])

    def _tile(self, x: Tensor, counts: np.ndarray | None = None) -> None:
        step = self.config.lxe.load_rows
        for chunk in self._chunks(x).swapaxes(0, 1):
            for i in range(0, len(chunk), step):
                rows = np.full((step, chunk.shape[1]), GARBAGE, dtype=np.uint16)
                tags = np.full(step, 0xABCD, dtype=np.uint16)
                rows[: len(chunk) - i] = chunk[i : i + step]
                if counts is not None:
                    tags[: len(chunk) - i] = counts[i : i + step]
                self.matrix.append(rows.tobytes() + tags.tobytes())

    def arguments(self) -> dict[str, Any]:
        """Return the streams' beats as bytes [N, bytes], and how many packets must come."""
        lxe = self.config.lxe
        lanes = self.config.wtu.lanes
        beats = {
            "activation": 2 * lxe.side + 3,
            "matrix": lxe.load_rows * 2 * (lxe.side + 1),
            "mean_job": -(-job_layout(self.config).size // 8),
            "mean_key": 2 * lxe.side,
        }
        return {
            "command": self._commands(),
            "expected": {
                "hash": len(self.hashes),
                "weights": sum(max(1, -(-len(w) // lanes)) for w, _ in self.weights),
                "attention": len(self.attention),
                "report": len(self.kinds),
                "mean": sum(-(-len(mean) // lxe.side) for mean in self.means),
            },
            **{
                name: np.frombuffer(b"".join(getattr(self, name)), np.uint8).reshape(-1, size)
                for name, size in beats.items()
            },
        }

    def _commands(self) -> np.ndarray:
        packer = Packer(Layouts(self.config).command)
        packed = b"".join(_pack(packer, command) for command in self.commands)
        return np.frombuffer(packed, np.uint8).reshape(-1, -(-packer.width // 8))

    def check(self, got: dict[str, Any]) -> None:
        """Fail, telling the first difference, unless ``got`` is what must come out."""
        hashes = [int.from_bytes(beat.tobytes(), "little") for beat in got["hash"]]
        _equal("hash", hashes, self.hashes)
        side, lanes = self.config.lxe.side, self.config.wtu.lanes
        data = got["attention"][:, : 2 * side].copy().view(np.uint16)
        _equal("attention", data.tolist(), [beat.tolist() for beat in self.attention])
        rows = list(_packets(got["weights"], self.config))
        _equal("weights", rows, [_row(*pair, lanes) for pair in self.weights])
        _equal("mean", self._means(got["mean"]), [mean.tolist() for mean in self.means])
        _equal("report", [int(beat[0]) & 3 for beat in got["report"]], self.kinds)

    def _means(self, beats: np.ndarray) -> list[list[int]]:
        """Return the elements of every mean, without what fills its last chunk up."""
        side = self.config.lxe.side
        words = beats[:, : 2 * side].copy().view(np.uint16)
        packets = np.split(words, np.flatnonzero(beats[:, 2 * side]) + 1)
        pairs = zip(packets, self.means, strict=False)
        return [packet.ravel()[: len(mean)].tolist() for packet, mean in pairs]


def _pack(packer: Packer, value: dict[str, int]) -> bytes:
    """Return one beat."""
    return packer.pack(value).to_bytes(-(-packer.width // 8), "little")


def _equal(stream: str, got: list[Any], expected: list[Any]) -> None:
    for number, pair in enumerate(zip(got, expected, strict=False)):
        if pair[0] != pair[1]:
            raise AssertionError(f"{stream}, number {number}: {pair[0]}, expected {pair[1]}")
    if len(got) != len(expected):
        raise AssertionError(f"{stream}: {len(got)} came, expected {len(expected)}")


def _row(weights: np.ndarray, counts: np.ndarray, lanes: int) -> list[list[Any]]:
    """Return the lanes of every beat of a row: (weight, count), or None where there is none."""
    cells: list[Any] = [(int(w), int(c)) for w, c in zip(weights, counts, strict=True)]
    cells += [None] * (-len(cells) % lanes or lanes * (not cells))
    return [cells[i : i + lanes] for i in range(0, len(cells), lanes)]


def _packets(beats: np.ndarray, config: Config) -> Iterator[list[list[Any]]]:
    lanes, packet = config.wtu.lanes, []
    for beat in beats:
        word = int.from_bytes(beat.tobytes(), "little")
        cells: list[Any] = []
        for lane in range(lanes):
            cell = word >> 33 * lane & (1 << 33) - 1
            cells.append((cell & 0xFFFF, cell >> 16 & 0xFFFF) if cell >> 32 else None)
        packet.append(cells)
        if word >> 33 * lanes & 1:
            yield packet
            packet = []
