"""What a stream of requests to the host link gains over asking token by token: ``link.gain``.

The throughput of random reads by their size is that of a BG6-like NVMe model at queue depth 256
(the specification's ``evaluation.md``): request size decides it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

CURVE = ((512, 0.08), (4096, 0.68), (16384, 2.19), (32768, 3.15))
"""Bytes of a request, and GB/s of many such requests."""
TOKEN_BYTES = 512
"""Key and value of one token of one head at d=128, in BF16."""


def rate(size: float) -> float:
    """Return the GB/s of requests of ``size`` bytes, 1 or more.

    Between the points of :data:`CURVE` it is linear in bytes. Beyond the last it is constant; below
    the first a request takes as long as one of 512 bytes.
    """
    if size <= 0:
        raise ValueError(f"a request of {size} bytes: it must be 1 or more")
    points = ((0, 0.0), *CURVE)
    for (low, below), (high, above) in pairwise(points):
        if size <= high:
            return below + (above - below) * (size - low) / (high - low)
    return CURVE[-1][1]


def throughput(sizes: Iterable[float]) -> float:
    """Return the GB/s of requests of these ``sizes`` in bytes: their bytes over their time."""
    total = seconds = 0.0
    for size in sizes:
        total += size
        seconds += size / rate(size)
    if not total:
        raise ValueError("no request: there is no throughput")
    return total / seconds


def gain(sizes: Sequence[float]) -> float:
    """Return the throughput of ``sizes`` over that of the same bytes asked for token by token."""
    return throughput(sizes) / rate(TOKEN_BYTES)
