"""The least cycles that the DPE needs for a run's commands: the floor of its time."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resv_ref.trace import Trace
from vrex import Params
from vrex_hw.config import Config

Ints = NDArray[np.int64]


def least_cycles(
    config: Config, trace: Trace, params: Params, tensors: dict[str, Tensor], stored: int = 0
) -> dict[str, int]:
    """Return, by kind of command, the larger of matrix beats and DPE beats, summed over the jobs.

    ``tensors`` are those of a run: what is scored and attended follows from ``sealed``,
    ``counts`` and ``selected``. ``stored``: tokens of the stream before the trace.
    """
    lengths = trace.frame_lengths.numpy().astype(np.int64)
    before = np.cumsum(lengths) - lengths + stored
    rows = np.broadcast_to(
        trace.q_heads // trace.kv_heads * lengths[:, None], tensors["sealed"].shape
    )
    hashed = lengths - np.clip(params.n_sinks - before, 0, lengths)
    sealed = tensors["sealed"].numpy().astype(np.int64)
    counts = tensors["counts"].numpy().astype(np.int64)
    left_out = (counts * ~tensors["selected"].numpy()).sum(2)
    attended = (before + lengths)[:, None] - left_out
    hashed = np.broadcast_to(hashed[:, None], sealed.shape)
    planes = np.full(sealed.shape, params.n_hyperplanes)
    size = _Sizes(config, trace.head_dim)
    return {
        "hash": size.least(hashed, planes, size.commands(hashed)),
        "score": size.least(rows * (sealed > 0), sealed, size.batches(rows)),
        "attend": 2 * size.least(rows, attended, size.commands(rows)),
    }


class _Sizes:
    """What a command takes on hardware of a configuration."""

    def __init__(self, config: Config, dimension: int) -> None:
        self._lxe = config.lxe
        self._chunks = -(-dimension // config.lxe.side)

    def commands(self, rows: Ints) -> Ints:
        """Return how many commands so many rows take."""
        return _ceil(rows, self._lxe.rows)

    def batches(self, rows: Ints) -> Ints:
        """Return in how many batches of scores so many rows go, each command's own."""
        full, rest = np.divmod(rows, self._lxe.rows)
        batch = self._lxe.score_rows
        return full * -(-self._lxe.rows // batch) + _ceil(rest, batch)

    def least(self, rows: Ints, columns: Ints, times: Ints) -> int:
        """Return the least cycles for ``rows`` by ``columns``, the matrix loaded ``times`` over."""
        loads = times * _ceil(columns, self._lxe.load_rows)
        beats = rows * _ceil(columns, self._lxe.side)
        return int((self._chunks * np.maximum(loads, beats) * (rows > 0)).sum())


def _ceil(a: Ints, b: int) -> Ints:
    return -(-a // b)
