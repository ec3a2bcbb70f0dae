"""The WiCSum threshold unit: which clusters a row selects, exactly."""

from vrex_hw.wtu.wtu import WTU

__all__ = ["WTU"]
