"""What the reference wants of rows, and the arguments of the WTU's bench."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resv_ref import wicsum
from vrex_hw.config import WTUConfig
from vrex_sim.benches.wtu_rows import Row


def wanted(row: Row) -> NDArray[np.bool_]:
    """Return the set of the sorted definition, [n] bool, by the reference."""
    taking_part = np.flatnonzero(row.valid)
    weights = torch.from_numpy(row.weights[taking_part])[None]
    picked = wicsum.select(weights, torch.from_numpy(row.counts[taking_part]), row.params)
    result = np.zeros(len(row.weights), dtype=bool)
    result[taking_part] = picked[0].numpy()
    return result


def arguments(rows: Iterable[Row], config: WTUConfig) -> dict[str, Any]:
    """Return ``rows``, and what is wanted of them, as arguments of the bench."""
    rows = list(rows)
    return {
        "lengths": np.array([len(row.weights) for row in rows]),
        "weights": np.concatenate([row.weights for row in rows]),
        "counts": np.concatenate([row.counts for row in rows]),
        "valid": np.concatenate([row.valid for row in rows]),
        "settings": np.array([(row.ratio, row.k_min, row.k_max, row.reset) for row in rows]),
        "wanted": np.concatenate(
            [wanted(row) & (len(row.weights) <= config.entries) for row in rows]
        ),
    }
