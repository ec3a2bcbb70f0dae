"""Rows for the WTU, as its bench takes them; no torch here, which loads slowly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vrex import Params
from vrex.params import K_MAX_NONE, RATIO_ONE
from vrex_hw.config import WTUConfig

RESET_NEVER = -1


@dataclass(frozen=True, eq=False)
class Row:
    """One row packet and the settings that it is resolved with."""

    weights: NDArray[np.int64]
    """[n] weights by cluster number."""
    counts: NDArray[np.int64]
    """[n] token counts."""
    valid: NDArray[np.bool_]
    """[n] which clusters take part."""
    ratio: int
    """Units of 2^-16."""
    k_min: int = 1
    k_max: int = K_MAX_NONE
    reset: int = RESET_NEVER
    """Reset the unit this many cycles after the row's last beat was taken; the row is lost."""

    @classmethod
    def make(cls, weights: Any, counts: Any, ratio: int, *, valid: Any = True, **rest: int) -> Self:
        """Make a row; ``counts`` and ``valid`` may be one value for all clusters."""
        w = np.asarray(weights, dtype=np.int64)
        c, v = np.broadcast_to(counts, w.shape), np.broadcast_to(valid, w.shape)
        return cls(w, c.astype(np.int64), v.astype(bool), ratio, **rest)

    @property
    def params(self) -> Params:
        """The settings as the reference takes them."""
        return Params(
            wicsum_ratio=self.ratio / RATIO_ONE,
            k_min=self.k_min,
            k_max=None if self.k_max == K_MAX_NONE else self.k_max,
        )

    def beats(self, config: WTUConfig) -> Iterator[int]:
        """Yield the packed beats of the packet; lanes past the row's end are not valid."""
        width, weight_bits = config.weight_bits + config.count_bits + 1, config.weight_bits
        entries = self.weights | self.counts << weight_bits | self.valid << (width - 1)
        words = -(-len(entries) // config.lanes)
        padded = np.zeros(words * config.lanes, dtype=np.int64)
        padded[: len(entries)] = entries
        for word, lanes in enumerate(padded.reshape(words, config.lanes).tolist()):
            beat = int(word == words - 1)
            for entry in reversed(lanes):
                beat = beat << width | entry
            yield beat


def unpack(given: dict[str, Any]) -> Iterator[tuple[Row, NDArray[np.bool_]]]:
    """Yield each row and its wanted set from what ``wtu_wanted.arguments`` made."""
    ends = np.cumsum(given["lengths"])[:-1]
    columns = [np.split(given[name], ends) for name in ("weights", "counts", "valid", "wanted")]
    for *row, wanted, settings in zip(*columns, given["settings"].tolist(), strict=True):
        yield Row(*row, *settings), wanted
