"""Commands of the LXE and the beats of their streams, from the bits of BF16 numbers.

Everything is numpy: BF16 is uint16, beats are rows of bytes as :mod:`vrex_sim.device` takes them.
The order of rows, tiles and chunks is that of :class:`vrex_hw.lxe.passes.Passes`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Kind, Layouts, ScoreMap
from vrex_hw.vpe.mean import job_layout
from vrex_sim.packer import Packer
from vrex_sim.ports import Bytes

Words = NDArray[np.uint16]
"""Bits of BF16 numbers, or token counts."""
LIMIT_BYTES = 3


@dataclass(frozen=True, kw_only=True)
class Beats:
    """What a command needs: one beat of ``command`` and those of the two streams."""

    command: Bytes
    activation: Bytes
    matrix: Bytes


class LXEJobs:
    """Lays out commands for one configuration and head dimension."""

    def __init__(self, config: Config, dimension: int) -> None:
        """``dimension`` is d, one of the configuration's or less."""
        self._lxe, self._dimension = config.lxe, dimension
        self._packer, self._mean = Packer(Layouts(config).command), Packer(job_layout(config))
        self.chunks = -(-dimension // config.lxe.side)
        """Beats of a row."""

    def hash(self, keys: Words, planes: Words) -> Iterator[Beats]:
        """Hash ``keys`` [T, d] with ``planes`` [N_hp, d]: a command for every ``lxe.rows`` keys."""
        tiles = self._tiles(planes)
        for rows in self._batches(keys):
            yield self._command(Kind.HASH, rows, len(planes), matrix=tiles)

    def score(
        self,
        queries: Words,
        means: Words,
        counts: Words,
        score_map: str = "exp",
        temperature: float = 1.0,
    ) -> Iterator[Beats]:
        """Score ``means`` [n, d] with token counts [n] for ``queries`` [R, d].

        A command for every ``lxe.rows`` queries; its matrix once for every ``lxe.score_rows``.
        """
        tiles = self._tiles(means, counts)
        for rows in self._batches(queries):
            times = -(-len(rows) // self._lxe.score_rows)
            yield self._command(
                Kind.SCORE,
                rows,
                len(means),
                scale=1 / math.sqrt(self._dimension),
                map=ScoreMap[score_map.upper()],
                temperature=round(math.log2(temperature)) & 0xF,
                matrix=np.tile(tiles, (times, 1)),
            )

    def attend(
        self, queries: Words, keys: Words, values: Words, limits: NDArray[np.int64]
    ) -> Iterator[Beats]:
        """Attend ``keys`` and ``values`` [N, d]: row r of ``queries`` [R, d] its first limits[r].

        A command for every ``lxe.rows`` queries, each with all the tokens.
        """
        side, n = self._lxe.side, len(keys)
        of_keys = [self._tiles(keys[i : i + side]) for i in range(0, n, side)]
        of_values = [self._tiles(values[i : i + side]) for i in range(0, n, side)]
        # K0, K1, V0, K2, V1, ... V(last): a tile of values comes behind the next tile of keys.
        order = of_keys[:1]
        for i, tile in enumerate(of_values):
            order += [*of_keys[i + 1 : i + 2], tile]
        matrix = np.concatenate([self._tiles(keys[:0]), *order])
        scale = math.log2(math.e) / math.sqrt(self._dimension)
        for rows, of_rows in zip(self._batches(queries), self._batches(limits), strict=True):
            yield self._command(Kind.ATTEND, rows, n, scale=scale, limits=of_rows, matrix=matrix)

    def mean(self, keys: Words) -> tuple[Bytes, Bytes]:
        """Return the beats of ``mean_job`` and ``mean_key`` for one cluster's ``keys`` [n, d]."""
        job = self._pack(self._mean, {"tokens": len(keys), "dimension": self._dimension})
        return job, self._chunks(keys).view(np.uint8).reshape(-1, 2 * self._lxe.side)

    def rows(self, chunks: Bytes, count: int) -> Words:
        """Return ``count`` rows [count, d] from beats that bring them row by row."""
        side = self._lxe.side
        words = np.ascontiguousarray(chunks[:, : 2 * side]).view("<u2")
        return words.reshape(count, -1)[:, : self._dimension]

    def attention(self, chunks: Bytes) -> Words:
        """Return rows [R, d] from a command's packet of ``attention``, chunk by chunk."""
        side = self._lxe.side
        words = np.ascontiguousarray(chunks[:, : 2 * side]).view("<u2")
        of_chunks = words.reshape(self.chunks, -1, side).swapaxes(0, 1)
        return of_chunks.reshape(-1, self.chunks * side)[:, : self._dimension]

    def batches(self, rows: int) -> list[int]:
        """Return the rows of each command that ``rows`` rows take."""
        step = self._lxe.rows
        return [min(step, rows - i) for i in range(0, rows, step)]

    def _batches(self, rows: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(rows, np.cumsum(self.batches(len(rows)))[:-1])

    def _command(
        self,
        kind: Kind,
        rows: NDArray[Any],
        columns: int,
        *,
        matrix: Bytes,
        limits: NDArray[Any] | None = None,
        scale: float = 1.0,
        **fields: int,
    ) -> Beats:
        command = {
            "kind": kind,
            "rows": len(rows),
            "dimension": self._dimension,
            "columns": columns,
            "scale": int(np.float32(scale).view(np.uint32)),
            **fields,
        }
        chunks = self._chunks(rows)
        of_rows = np.zeros(len(rows), "<u4") if limits is None else limits.astype("<u4")
        limit = of_rows.view(np.uint8).reshape(-1, 1, 4)[:, :, :LIMIT_BYTES]
        limit = np.broadcast_to(limit, (*chunks.shape[:2], LIMIT_BYTES))
        beats = np.concatenate([chunks.view(np.uint8), limit], axis=2)
        return Beats(
            command=self._pack(self._packer, command),
            activation=beats.reshape(-1, beats.shape[2]),
            matrix=matrix,
        )

    @staticmethod
    def _pack(packer: Packer, value: dict[str, int]) -> Bytes:
        """Return one beat."""
        packed = packer.pack(value).to_bytes(-(-packer.width // 8), "little")
        return np.frombuffer(packed, np.uint8)[None]

    def _chunks(self, rows: NDArray[Any]) -> Words:
        """Return [n, ceil(d / side), side]; what lies past d is 0."""
        side = self._lxe.side
        fill = -self._dimension % side
        padded = np.pad(rows.astype("<u2"), ((0, 0), (0, fill)))
        return padded.reshape(len(rows), -1, side)

    def _tiles(self, rows: Words, counts: Words | None = None) -> Bytes:
        """Return the matrix beats of ``rows`` [n, d]: tiles of ``side``, in each chunk by chunk."""
        side, step = self._lxe.side, self._lxe.load_rows
        counts = np.zeros(len(rows), np.uint16) if counts is None else counts
        beats = [np.zeros((0, 2 * step * (side + 1)), np.uint8)]
        for i in range(0, len(rows), side):
            tile = self._chunks(rows[i : i + side]).swapaxes(0, 1)
            chunks, height = tile.shape[:2]
            fill = -height % step
            data = np.pad(tile, ((0, 0), (0, fill), (0, 0))).reshape(-1, step * side)
            tags = np.pad(counts[i : i + side].astype("<u2"), (0, fill))
            tags = np.tile(tags.reshape(-1, step), (chunks, 1))
            beats.append(np.ascontiguousarray(np.hstack([data, tags])).view(np.uint8))
        return np.concatenate(beats)
