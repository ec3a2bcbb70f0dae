"""The storer: a frame's keys and values to their clusters' slots, sealed clusters to the host."""

from vrex_hw.kvmu.storer.storer import Storer

__all__ = ["Storer"]
