"""Beats of rows, weights and selections, as tensors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex_hw.kvpu.layouts import WORD_BITS

Bytes = NDArray[np.uint8]


def weights(beats: Bytes, lanes: int) -> NDArray[np.int32]:
    """Return the weights in beats of the LXE's rows (:class:`vrex_hw.wtu.layouts.Layouts`).

    The result is [N, lanes]; an entry that is not valid has weight 0.
    """
    entry = 16 + 16 + 1
    bits = np.unpackbits(beats, axis=1, bitorder="little")[:, : entry * lanes]
    bits = bits.reshape(-1, lanes, entry)
    places = 1 << np.arange(16, dtype=np.int32)
    return (bits[:, :, :16] * bits[:, :, -1:] @ places).astype(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Beats:
    """Everything that one AXI4-Stream of the KVPU gave, in order."""

    data: Bytes
    """[N, bytes of TDATA]."""
    last: NDArray[np.bool_]
    """[N]."""
    cycle: NDArray[np.int64]
    """[N]: when each beat was taken."""

    @classmethod
    def of(cls, results: dict[str, Any], name: str) -> "Beats":
        """Take the stream ``name`` from what the bench gave back: TDATA, then TLAST, as bytes."""
        raw = results[name]
        return cls(data=raw[:, :-1], last=raw[:, -1] != 0, cycle=results[f"{name}_cycle"])

    def packets(self) -> NDArray[np.int64]:
        """Return the packet that each beat belongs to, [N]."""
        return np.cumsum(self.last) - self.last

    def results(self) -> NDArray[np.uint32]:
        """Return the lowest 32 bits of each beat (:data:`vrex_hw.kvpu.layouts.RESULT`), [N]."""
        return np.ascontiguousarray(self.data[:, :4]).view("<u4")[:, 0]

    def numbers(self) -> NDArray[np.int64]:
        """Return the cluster number or the count that each beat carries, [N]."""
        return (self.results() & 0xFFFF).astype(np.int64)


def united(beats: Beats, packets: int, clusters: int) -> NDArray[np.bool_]:
    """Return which clusters each packet of ``m_axis_selected`` names, [packets, clusters].

    The last column stands for every number from there up.
    """
    out = np.zeros((packets, clusters), dtype=bool)
    named = ~beats.last
    out[beats.packets()[named], np.minimum(beats.numbers()[named], clusters - 1)] = True
    return out


def selected(beats: Beats, packets: int, clusters: int, lanes: int) -> NDArray[np.bool_]:
    """Return which clusters each packet of ``m_axis_row`` hits, [packets, clusters].

    The last column stands for every number from there up.
    """
    out = np.zeros((packets, clusters), dtype=bool)
    words = np.ascontiguousarray(beats.data[~beats.last]).view("<u2")[:, :lanes]
    hit = words >> WORD_BITS != 0
    number = (words & (1 << WORD_BITS) - 1).astype(np.int64) * lanes + np.arange(lanes)
    packet = np.broadcast_to(beats.packets()[~beats.last][:, None], hit.shape)
    out[packet[hit], np.minimum(number[hit], clusters - 1)] = True
    return out
