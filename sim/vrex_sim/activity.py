"""Which unit worked when: the core's activity, as the system's changes tell it."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vrex_hw.core.ports import UNITS

PREDICTION = ("hcu", "wtu", "retriever", "storer", "table")
"""What works for a job that does not attend yet: HCU, WTU and the KVMU."""
SPANS = 200
"""Most spans of a timeline in numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Spans of cycles in which nothing changes, from a run's first job to its last."""

    starts: NDArray[np.int64]
    """[N]: first cycle of each span."""
    lengths: NDArray[np.int64]
    """[N]: its cycles."""
    works: NDArray[np.bool_]
    """[N, units]: what works in it, in the order of :data:`vrex_hw.core.ports.UNITS`."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Read the changes that a host gave back (:class:`vrex_sim.core_host.CoreHost`)."""
        beats = given["activity"]
        words = np.zeros((len(beats), 8), np.uint8)
        words[:, : beats.shape[1]] = beats
        packed = words.view("<u8")[:, 0]
        # From reset to the first change nothing works.
        starts = np.append(0, (packed & 0xFFFFFFFF).astype(np.int64))
        bits = np.append(0, (packed >> 32).astype(np.int64))
        works = (bits[:, None] >> np.arange(len(UNITS)) & 1).astype(bool)
        ends = np.append(starts[1:], given["began"] + given["cycles"])
        during = ends > given["began"]
        starts = np.maximum(starts[during], given["began"])
        lengths = np.maximum(ends[during] - starts, 0)
        return cls(starts=starts, lengths=lengths, works=works[during])

    def column(self, unit: str) -> NDArray[np.bool_]:
        """Return in which spans ``unit`` works, [N]."""
        return self.works[:, UNITS.index(unit)]

    def cycles(self, spans: NDArray[np.bool_]) -> int:
        """Return the cycles of the ``spans`` that are true."""
        return int(self.lengths[spans].sum())

    @property
    def busy(self) -> dict[str, int]:
        """Cycles in which each unit works."""
        return {unit: self.cycles(self.column(unit)) for unit in UNITS}

    def shares(self, unit: str, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return in which share of the cycles between each two of ``edges`` a unit works."""
        done = np.concatenate([[0.0], np.cumsum(self.lengths * self.column(unit))])
        at = np.append(self.starts, self.starts[-1] + self.lengths[-1])
        return np.diff(np.interp(edges, at, done)) / np.diff(edges)

    def timeline(self) -> dict[str, Any]:
        """Return which unit worked when, in at most :data:`SPANS` equal spans.

        ``edges`` are the cycles between which they lie, and under a unit's name is the share of
        each span's cycles in which it worked.
        """
        first, last = int(self.starts[0]), int(self.starts[-1] + self.lengths[-1])
        edges = np.linspace(first, last, min(SPANS, last - first) + 1)
        shares = {unit: self.shares(unit, edges).round(4).tolist() for unit in UNITS}
        return {"edges": edges.round(1).tolist(), **shares}

    def hidden(self, after: int | None = None) -> float:
        """Return the share of prediction's cycles in which the DPE works too, from cycle ``after``.

        Without ``after`` it is prediction for a later job: from the first attention on, before
        which there is no job to hide behind. 0 where there was no prediction.
        """
        if after is None:
            attends = self.starts[self.column("attend")]
            after = int(attends[0]) if len(attends) else 0
        predicts = self.works[:, [UNITS.index(unit) for unit in PREDICTION]].any(1)
        predicts &= self.starts >= after
        whole = self.cycles(predicts)
        return self.cycles(predicts & self.column("dpe")) / whole if whole else 0.0
