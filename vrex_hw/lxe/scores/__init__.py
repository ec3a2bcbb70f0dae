"""The score path: raw scores of two batches, and their weights on the way to the WTU."""

from vrex_hw.lxe.scores.scores import Scores

__all__ = ["Scores"]
