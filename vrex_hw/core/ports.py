"""The ports of the core."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import STATUS
from vrex_hw.kvmu.ports import LinkSignature
from vrex_hw.kvpu.ports import KVPUSignature
from vrex_hw.lxe.ports import LXESignature
from vrex_hw.memory.layouts import ID_BITS
from vrex_hw.registers import ADDRESS_BITS

UNITS = (
    "hash",
    "score",
    "attend",
    "dpe",
    "hcu",
    "wtu",
    "retriever",
    "storer",
    "table",
    "memory_in",
    "memory_out",
    "link_in",
    "link_out",
)
ACTIVITY = data.StructLayout({name: 1 for name in UNITS})
"""What works in a cycle: the kind of the command in the DPE; the ``dpe``, which takes a beat or a
row of a tile; the units, which have something to do; a beat on the memory's and the link's ways."""


class CoreSignature(wiring.Signature):
    """The ports of the core, in emitted Verilog ``INTERFACE_MEMBER`` (AXI) or ``STREAM__payload``.

    ==================== =========================================================================
    ``s_axil``           AXI4-Lite, 12 bits of address: the registers (docs/registers-core.md)
    ``m_axi``            AXI4, to device memory
    ``link``             requests, completions and payload of the host link
    ``irq``              high while ``status & interrupt_enable`` is not 0
    ``status``           a job has ended: what is written into the ring of statuses as well
    ==================== =========================================================================

    And, for who wants to look on: ``hash``, ``weights``, ``m_axis_assign``, ``m_axis_row``,
    ``m_axis_selected`` and ``report`` show what passes between the units, ``activity`` which of
    them works in a cycle. Who does not ties the ready of these streams, and of ``status``, high.

    One clock ``clk``; ``rst`` is synchronous and active high.
    """

    def __init__(self, config: Config) -> None:
        """Make the ports for the sizes of ``config``."""
        lxe, kvpu = LXESignature(config).members, KVPUSignature(config).members
        kvmu = config.kvmu
        super().__init__(
            {
                "s_axil": In(axi.LiteSignature(ADDRESS_BITS)),
                "m_axi": Out(axi.Signature(kvmu.bus_bytes, kvmu.address_bits, ID_BITS)),
                "link": Out(LinkSignature(config)),
                "irq": Out(1),
                "status": Out(stream.Signature(STATUS)),
                **{name: lxe[name] for name in ("hash", "weights", "report")},
                **{name: kvpu[name] for name in kvpu if name.startswith("m_axis")},
                "activity": Out(ACTIVITY),
            }
        )
