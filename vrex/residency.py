"""Which fetched clusters stay in device memory: what the reference and the hardware share.

A sealed cluster has a priority of 8 bits, which every job of its head *touches*; the resident
cluster of the least priority gives way. Our decision; measured in docs/kvmu.md.
"""

import enum


class Policy(enum.IntEnum):
    """How a job touches the priorities."""

    LRU = 0
    """One that it chose gets the highest, all others lose one: the one chosen longest ago goes."""
    FREQUENCY = 1
    """All lose a share of theirs, one that it chose gains: the one chosen least often goes."""


TOP = 255
"""The highest priority."""
DECAY = 3
"""FREQUENCY: a priority loses a 2^DECAY th of itself, rounded up, a job."""
GAIN = 32
"""FREQUENCY: what a chosen cluster gains, up to :data:`TOP`."""


def touch(priority: int, chosen: bool, policy: int) -> int:
    """Return a cluster's priority after a job that has ``chosen`` it, or not."""
    if policy == Policy.LRU:
        return TOP if chosen else max(priority - 1, 0)
    kept = priority - (priority + (1 << DECAY) - 1 >> DECAY)
    return min(kept + GAIN, TOP) if chosen else kept


def admits(newcomer: int, victim: int) -> bool:
    """Tell whether a fetched cluster takes the slot of ``victim``, by their priorities."""
    return newcomer >= victim
