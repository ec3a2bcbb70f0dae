"""The ports of the KVPU."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvpu import layouts
from vrex_hw.registers import ADDRESS_BITS


class KVPUSignature(wiring.Signature):
    """The ports of the KVPU, in emitted Verilog ``INTERFACE_MEMBER`` (``s_axil_awaddr``).

    ========================= ====================================================================
    ``s_axil``                AXI4-Lite, 12 bits of address: the registers (docs/registers-kvpu.md)
    ``s_axis_table``          open clusters of a cluster job, ascending
    ``s_axis_hash``           hash bits of a cluster job's tokens, in arrival order
    ``m_axis_assign``         a beat a token, then the trailer (TLAST): clusters sealed so far
    ``s_axis_row``            weight rows; TLAST ends a row, TKEEP says which entries are valid
    ``m_axis_row``            each row's selection by lanes, then its trailer: how many
    ``m_axis_selected``       a select job's union, ascending, then the trailer: how many
    ``irq``                   high while ``status & interrupt_enable`` is not 0
    ========================= ====================================================================

    One clock ``clk``; ``rst`` is synchronous and active high. The bits of TDATA are laid out by
    :mod:`vrex_hw.kvpu.layouts` (docs/interfaces.md).
    """

    def __init__(self, config: Config) -> None:
        """Make the ports for the sizes of ``config``."""
        table, row = layouts.table_layout(config.hcu), layouts.row_layout(config.wtu)
        result = axi.StreamSignature(layouts.RESULT, last=True)
        selection = axi.StreamSignature(layouts.selection_layout(config.wtu), last=True)
        super().__init__(
            {
                "s_axil": In(axi.LiteSignature(ADDRESS_BITS)),
                "s_axis_table": In(axi.StreamSignature(table)),
                "s_axis_hash": In(axi.StreamSignature(layouts.hash_layout(config.hcu))),
                "m_axis_assign": Out(result),
                "s_axis_row": In(axi.StreamSignature(row, last=True, keep=True)),
                "m_axis_row": Out(selection),
                "m_axis_selected": Out(result),
                "irq": Out(1),
            }
        )
