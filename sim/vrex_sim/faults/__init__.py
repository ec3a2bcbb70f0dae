"""The campaign of faults: jobs of the whole core while memory, link and reset go wrong."""

from vrex_sim.faults.campaign import Campaign, Counts

__all__ = ["Campaign", "Counts"]
