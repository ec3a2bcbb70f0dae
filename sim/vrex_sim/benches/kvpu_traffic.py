"""Jobs for the KVPU and what must come back, by the exact reference."""

import random
from typing import Any

import torch

from resv_ref.clustering import HCTable
from resv_ref.wicsum import select
from vrex import Params
from vrex.params import RATIO_ONE
from vrex_hw.config import Config, HCUConfig, WTUConfig
from vrex_sim.kvpu_bus import Entry

INDEX = 1 << 16
NOTHING = torch.zeros(1)


class Head:
    """One (layer, KV head) of a stream, kept by the reference's HC table."""

    def __init__(self, rng: random.Random, config: HCUConfig) -> None:
        """Start before the first token, at an index near the wrap for half of the heads."""
        self._rng, self._config = rng, config
        self._index = rng.choice([4, INDEX - 40])
        self._table: HCTable | None = None
        self._params = self._draw()
        self._themes = [rng.getrandbits(config.hyperplanes) for _ in range(6)]

    def _draw(self) -> Params:
        rng, config = self._rng, self._config
        return Params(
            hamming_threshold=rng.choice([0, 3, 5, 7, 65]),
            join_window=rng.randint(1, config.joinable),
            cluster_cap=rng.choice([1, 3, 32]),
            recent_window=rng.randint(1, config.open // 2),
        )

    def _token(self) -> int:
        rng = self._rng
        bits = rng.choice(self._themes)
        for _ in range(rng.randrange(4)):
            bits ^= 1 << rng.randrange(self._config.hyperplanes)
        return bits

    def job(self, *, resume: bool) -> dict[str, Any]:
        """Return one job: its registers, table, hash bits and assignments."""
        if not resume:
            self._params = self._draw()
        table = self._table = self._table or HCTable(self._params, 1)
        table.params = params = self._params
        first = table.sealed
        opened = range(first, len(table))
        most = min(10, self._config.open - len(opened))
        tokens = [self._token() for _ in range(self._rng.randint(0, most))]
        job = {
            "hamming_threshold": params.hamming_threshold,
            "join_window": params.join_window,
            "cluster_cap": params.cluster_cap,
            "recent_window": params.recent_window,
            "first_index": self._index % INDEX,
            "tokens": len(tokens),
            "base": first,
            "entries": len(opened),
            "resume": int(resume),
        }
        rows = [
            {
                "hash": {"bits": table.bits[number]},
                "first": table.members[number][0] % INDEX,
                "count": len(table.members[number]),
            }
            for number in opened
        ]
        assigned = []
        for bits in tokens:
            before = len(table)
            number = table.assign(self._index, bits, NOTHING, NOTHING)
            assigned.append({"number": number, "opened": len(table) - before, "error": 0})
            self._index += 1
        table.seal()
        trailer = {"number": table.sealed, "opened": 0, "error": 0}
        return {
            "registers": job,
            "table": [] if resume else rows,
            "hash": [{"bits": bits} for bits in tokens],
            "assign": assigned,
            "trailer": trailer,
        }


def cluster_jobs(rng: random.Random, config: HCUConfig, count: int) -> list[dict[str, Any]]:
    """Return ``count`` jobs over three heads, some resumed, parameters changing between them."""
    heads = [Head(rng, config) for _ in range(3)]
    jobs: list[dict[str, Any]] = []
    last = None
    for _ in range(count):
        resume = last is not None and rng.random() < 0.3
        last = last if resume and last else rng.choice(heads)
        jobs.append(last.job(resume=resume))
    return jobs


def random_row(rng: random.Random, config: WTUConfig) -> list[Entry]:
    """Return a row of 1 to ``entries`` clusters: spread, tied or zero weights, some holes."""
    size = rng.choice([1, 2, config.lanes, config.entries - 1, config.entries])
    size = rng.choice([size, rng.randint(1, config.entries)])
    weight = rng.choice(
        [
            lambda: rng.getrandbits(16) >> rng.randrange(16),
            lambda: rng.getrandbits(16),
            lambda: rng.choice([5, 6]),
            lambda: 0,
        ]
    )
    holes = rng.choice([0, 0, 0.2, 1])
    return [
        None if rng.random() < holes else (weight(), rng.choice([1, 32, 0, 65535]))
        for _ in range(size)
    ]


def chosen(row: list[Entry], params: Params, longest: int) -> list[int] | None:
    """Return the clusters that ``row`` selects, ascending; None where it is too long."""
    if len(row) > longest:
        return None
    there = [number for number, entry in enumerate(row) if entry is not None]
    pairs = torch.tensor([row[n] for n in there], dtype=torch.int64).reshape(-1, 2)
    hits = select(pairs[None, :, 0], pairs[:, 1], params)[0]
    return [number for number, hit in zip(there, hits.tolist(), strict=True) if hit]


def select_job(rows: list[list[Entry]], params: Params, config: Config) -> dict[str, Any]:
    """Return one select job: its registers, rows, each row's selection and the union."""
    picks = [chosen(row, params, config.wtu.entries) for row in rows]
    union = sorted({number for pick in picks for number in pick or ()})
    return {
        "registers": {
            "ratio": params.ratio_fixed,
            "k_min": params.k_min,
            "k_max": params.k_max_fixed,
            "rows": len(rows),
        },
        "rows": rows,
        "picks": picks,
        "union": union,
        "error": int(None in picks),
    }


def select_jobs(rng: random.Random, config: Config, count: int) -> list[dict[str, Any]]:
    """Return ``count`` jobs of 0 to 6 rows, with too long ones among them."""
    jobs = []
    for _ in range(count):
        params = Params(
            wicsum_ratio=rng.choice([0, RATIO_ONE, rng.randint(0, RATIO_ONE)]) / RATIO_ONE,
            k_min=rng.choice([1, 4, config.wtu.entries]),
            k_max=rng.choice([None, 1, 16]),
        )
        rows = [random_row(rng, config.wtu) for _ in range(rng.randint(0, 6))]
        if rows and rng.random() < 0.1:
            rows[0] = [(7, 7)] * (config.wtu.entries + rng.randint(1, 9))
        jobs.append(select_job(rows, params, config))
    return jobs
