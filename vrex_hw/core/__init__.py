"""The V-Rex core: prediction, execution and the KVMU, and what gives them their jobs in order."""

from vrex_hw.core.core import Core

__all__ = ["Core"]
