"""Drives the LXE from device memory: its commands, their activations and their matrices."""

from vrex_hw.core.feeder.feeder import Feeder
from vrex_hw.core.feeder.layouts import FED, FEED

__all__ = ["FED", "FEED", "Feeder"]
