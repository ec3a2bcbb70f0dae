"""The V-Rex core: the LXE and the KVPU, joined. The KVMU, which moves the cache, is to come."""

from vrex_hw.core.core import Core

__all__ = ["Core"]
