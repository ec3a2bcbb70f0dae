"""Device memory: the AXI4 manager through which every unit of the core reads and writes lines."""

from vrex_hw.memory.memory_port import MemoryPort
from vrex_hw.memory.read_port import ReadPort
from vrex_hw.memory.write_port import WritePort

__all__ = ["MemoryPort", "ReadPort", "WritePort"]
