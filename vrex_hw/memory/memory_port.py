"""The AXI4 manager of the core: the read port and the write port on one interface."""

from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.ports import ReadSignature, WriteSignature
from vrex_hw.memory.layouts import ID_BITS, Sizes
from vrex_hw.memory.read_port import ReadPort
from vrex_hw.memory.write_port import WritePort


class MemoryPort(wiring.Component):
    """Serves ``readers`` clients ``read`` and ``writers`` clients ``write``, lower ones first.

    Latencies, rates and errors are those of :class:`ReadPort` and :class:`WritePort`, which know
    nothing of each other: what is written can be read from its ``done`` on.
    """

    def __init__(self, config: Config, readers: int, writers: int) -> None:
        """``readers`` and ``writers``: 1 to 16 each."""
        self._config, self._readers, self._writers = config, readers, writers
        for clients in (readers, writers):
            Sizes(config).check(clients)
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS)
        super().__init__(
            {
                "read": In(ReadSignature(config)).array(readers),
                "write": In(WriteSignature(config)).array(writers),
                "m_axi": Out(bus),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join them."""
        m = Module()
        m.submodules.reads = reads = ReadPort(self._config, self._readers)
        m.submodules.writes = writes = WritePort(self._config, self._writers)
        for mine, port in ((self.read, reads), (self.write, writes)):
            for outer, inner in zip(mine, port.client, strict=True):
                wiring.connect(m, wiring.flipped(outer), inner)
            m.d.comb += axi.pass_on(port.m_axi, self.m_axi)
        return m
