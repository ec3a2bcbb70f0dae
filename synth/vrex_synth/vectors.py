"""The self-test's stream: jobs, beats in and beats out, computed by the exact reference."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from resv_ref.clustering import HCTable
from resv_ref.wicsum import select
from vrex import Params
from vrex_hw.config import Config
from vrex_hw.kvpu import layouts
from vrex_hw.registers import KVPU
from vrex_synth.players import beat_layout, digest
from vrex_synth.sequencer import WAIT, Operation, check, write

INDEX_MASK = 0xFFFF


@dataclass
class Vectors:
    """What the self-test does. A word holds a beat as :func:`~vrex_synth.players.beat_layout`
    says; ``m_axis_row`` expects a word of :class:`~vrex_synth.players.Digest` for each row.
    """

    program: list[Operation] = field(default_factory=list)
    played: dict[str, list[int]] = field(
        default_factory=lambda: {"s_axis_table": [], "s_axis_hash": [], "s_axis_row": []}
    )
    expected: dict[str, list[int]] = field(
        default_factory=lambda: {"m_axis_assign": [], "m_axis_row": [], "m_axis_selected": []}
    )


def build(config: Config, seed: int = 1) -> Vectors:
    """Return a self-test that fits ``config``; the same ``seed`` gives the same one.

    Three cluster jobs: the first frame of one head; a frame in mid-stream of another, whose table
    is loaded; and that head's next frame, resumed. Then two select jobs: a single short row; and
    rows as long as the memory, random, all tied and all of weight zero, united.
    """
    rng = random.Random(seed)
    vectors = Vectors()
    params = Params(
        recent_window=min(256, config.hcu.open // 2), join_window=min(128, config.hcu.joinable)
    )
    vectors.program += [
        check("fingerprint", config.fingerprint),
        write("hamming_threshold", params.hamming_threshold),
        write("join_window", params.join_window),
        write("cluster_cap", params.cluster_cap),
        write("recent_window", params.recent_window),
        write("ratio", params.ratio_fixed),
        write("k_min", params.k_min),
        write("k_max", params.k_max_fixed),
    ]
    _cluster_jobs(vectors, config, params, rng)
    rows = _select_jobs(vectors, config, params, rng)
    done = KVPU.mask["status"]["cluster_done"] | KVPU.mask["status"]["select_done"]
    vectors.program += [WAIT, check("wtu_rows", rows), check("status", done)]
    return vectors


class _Head:
    """One KV head: its stream of hash bits and its table."""

    def __init__(self, planes: int, params: Params, rng: random.Random) -> None:
        self._planes = planes
        self._rng = rng
        self._prototypes = [rng.getrandbits(planes) for _ in range(8)]
        self.table = HCTable(params, width=1)
        self.tokens = 0

    def frame(self, tokens: int) -> Iterator[tuple[int, int, bool]]:
        """Yield hash bits, cluster number and whether it is new for each token of a frame."""
        for _ in range(tokens):
            bits = self._next()
            before = len(self.table)
            number = self.table.assign(self.tokens, bits, torch.zeros(1), torch.zeros(1))
            self.tokens += 1
            yield bits, number, number == before
        self.table.seal()

    def _next(self) -> int:
        """Return a prototype with some of its bits flipped; now and then it becomes another."""
        rng, which = self._rng, self._rng.randrange(len(self._prototypes))
        if rng.random() < 0.1:
            self._prototypes[which] = rng.getrandbits(self._planes)
        flips = sum(1 << bit for bit in range(self._planes) if rng.random() < 0.05)
        return self._prototypes[which] ^ flips


def _cluster_jobs(vectors: Vectors, config: Config, params: Params, rng: random.Random) -> None:
    frame = min(32, params.recent_window // 2)
    first, second = (_Head(config.hcu.hyperplanes, params, rng) for _ in range(2))
    for _ in range(2 * params.recent_window // frame):
        list(second.frame(frame))
    for head, resume in ((first, 0), (second, 0), (second, 1)):
        _cluster_job(vectors, config, head, frame, resume)


def _cluster_job(vectors: Vectors, config: Config, head: _Head, tokens: int, resume: int) -> None:
    table = head.table
    clusters = range(table.sealed, len(table))
    vectors.program += [
        write("first_index", head.tokens & INDEX_MASK),
        write("tokens", tokens),
        write("base", table.sealed),
        write("entries", 0 if resume else len(clusters)),
        write("resume", resume),
        write("command", KVPU.mask["command"]["start_cluster"]),
    ]
    entry = layouts.table_layout(config.hcu)
    for number in () if resume else clusters:
        members = table.members[number]
        fields = {"first": members[0] & INDEX_MASK, "count": len(members)}
        word = entry.const({"hash": {"bits": table.bits[number]}, **fields}).as_bits()
        vectors.played["s_axis_table"].append(word)
    beats = []
    for bits, number, opened in head.frame(tokens):
        vectors.played["s_axis_hash"].append(bits)
        beats.append({"number": number, "opened": int(opened)})
    vectors.expected["m_axis_assign"] += _results([*beats, {"number": table.sealed}])


def _select_jobs(vectors: Vectors, config: Config, params: Params, rng: random.Random) -> int:
    """Add the select jobs and return how many rows they have."""
    longest = config.wtu.entries
    most = (1 << config.wtu.weight_bits) - 1
    highest_count = min(params.cluster_cap, (1 << config.wtu.count_bits) - 1)
    counts = [rng.randint(1, highest_count) for _ in range(longest)]
    short = [rng.randint(0, most) for _ in range(config.wtu.lanes + 1)]
    skewed = [round(most * rng.random() ** 6) for _ in range(longest)]
    tied = [most // 2] * longest
    jobs = [[short], [skewed, tied, [0] * (longest - 1)]]
    for rows in jobs:
        vectors.program += [
            write("rows", len(rows)),
            write("command", KVPU.mask["command"]["start_select"]),
        ]
        union: set[int] = set()
        for weights in rows:
            selected = _row(vectors, config, params, weights, counts[: len(weights)])
            union |= set(selected)
        beats = [{"number": number} for number in sorted(union)]
        vectors.expected["m_axis_selected"] += _results([*beats, {"number": len(union)}])
    return sum(map(len, jobs))


def _row(
    vectors: Vectors, config: Config, params: Params, weights: list[int], counts: list[int]
) -> list[int]:
    """Add a row's beats and its digest; return the clusters that it selects."""
    lanes = config.wtu.lanes
    tdata = layouts.row_layout(config.wtu)
    beat = beat_layout(tdata, tdata.size // 8)
    for low in range(0, len(weights), lanes):
        pairs = list(zip(weights, counts, strict=True))[low : low + lanes]
        entries = [{"weight": weight, "count": count} for weight, count in pairs]
        keep = (1 << layouts.ENTRY_BYTES * len(pairs)) - 1
        last = int(low + lanes >= len(weights))
        fields = {"tdata": {"lanes": entries}, "tkeep": keep, "tlast": last}
        vectors.played["s_axis_row"].append(beat.const(fields).as_bits())
    hits = select(torch.tensor([weights]), torch.tensor(counts), params)[0]
    selected = [int(number) for number in hits.nonzero()]
    trailer = layouts.RESULT.const({"number": len(selected)}).as_bits()
    vectors.expected["m_axis_row"].append(digest(trailer, selected, config.wtu))
    return selected


def _results(beats: list[dict[str, int]]) -> list[int]:
    """Return a packet of RESULT beats as words, TLAST set in the last one."""
    beat = beat_layout(layouts.RESULT)
    return [
        beat.const({"tdata": fields, "tlast": int(index == len(beats) - 1)}).as_bits()
        for index, fields in enumerate(beats)
    ]
