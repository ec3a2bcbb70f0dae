"""Which fetched clusters stay in device memory: what the reference and the hardware share.

A sealed cluster has a priority of 8 bits, which every job of its head *touches*; the resident
cluster of the least priority gives way, the lowest number of equal ones. Our decision; measured in
docs/kvmu.md.
"""

import enum


class Policy(enum.IntEnum):
    """How a job touches the priorities (``policy``)."""

    LRU = 0
    """One that it chose gets the highest, all others lose one: the one chosen longest ago goes."""
    FREQUENCY = 1
    """All lose a share of theirs, one that it chose gains by its tokens: the one that WiCSum chose
    for the fewest tokens of late goes, if that are not more than those of the one that comes."""


TOP = 255
"""The highest priority."""
DECAY = 3
"""FREQUENCY: a priority loses a 2^DECAY th of itself, rounded up, a job."""
GAIN_LOG2 = 5
"""FREQUENCY: a chosen cluster that fills its slot gains 2^GAIN_LOG2, up to :data:`TOP`."""


def gain(count: int, slot_tokens: int) -> int:
    """Return what a chosen cluster of ``count`` tokens gains: its share of a slot, rounded down."""
    return (count << GAIN_LOG2) // slot_tokens


def touch(priority: int, chosen: bool, policy: int, gained: int) -> int:
    """Return a cluster's priority after a job that has ``chosen`` it, or not.

    ``gained`` is its :func:`gain`; LRU has no use for it.
    """
    if policy == Policy.LRU:
        return TOP if chosen else max(priority - 1, 0)
    kept = priority - (priority + (1 << DECAY) - 1 >> DECAY)
    return min(kept + gained, TOP) if chosen else kept


def admits(newcomer: int, victim: int) -> bool:
    """Tell whether a fetched cluster takes the slot of ``victim``, by their priorities."""
    return newcomer >= victim
