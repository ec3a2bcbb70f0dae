"""The KV prediction unit: HCU, WTU and the row aggregator behind AXI4-Lite and AXI4-Stream."""

from vrex_hw.kvpu.core import KVPU
from vrex_hw.kvpu.ports import KVPUSignature

__all__ = ["KVPU", "KVPUSignature"]
