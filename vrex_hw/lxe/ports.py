"""The ports of the LXE."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import Layouts
from vrex_hw.vpe.mean import job_layout, key_layout, mean_layout
from vrex_hw.wtu.layouts import Layouts as RowLayouts

KINDS = data.StructLayout({"hash": 1, "score": 1, "attend": 1, "mean": 1})
"""A bit for each kind of command, and one for means."""


class LXESignature(wiring.Signature):
    """The ports of the LXE, in emitted Verilog ``STREAM__payload``, ``__valid``, ``__ready``.

    ==================== =========================================================================
    ``command``          what to do, in order; the payloads are told in :class:`Layouts`
    ``activation``       keys to hash, or queries, row by row
    ``matrix``           hyperplanes, representatives, keys and values, tile by tile
    ``hash``             a key's hash bits
    ``weights``          a row's weights and token counts, as the WTU takes them
    ``attention``        outputs, BF16
    ``report``           a command has ended: its cycles, and where they went
    ``mean_job``         how many keys of which dimension the next mean is of
    ``mean_key``         their chunks
    ``mean``             the mean key's chunks
    ``nonfinite``        sticky: a NaN has come out of a command of that kind, or of a mean
    ``clear``            clears them
    ``active``           the kind of the command that is in the DPE
    ``working``          the DPE takes a beat, or a row of a tile, in this cycle
    ==================== =========================================================================

    One clock ``clk``; ``rst`` is synchronous and active high.
    """

    def __init__(self, config: Config) -> None:
        """Make the ports for the sizes of ``config``."""
        layouts = Layouts(config)
        super().__init__(
            {
                "command": In(stream.Signature(layouts.command)),
                "activation": In(stream.Signature(layouts.activation)),
                "matrix": In(stream.Signature(layouts.matrix)),
                "hash": Out(stream.Signature(layouts.hash)),
                "weights": Out(stream.Signature(RowLayouts(config.wtu).row)),
                "attention": Out(stream.Signature(layouts.attention)),
                "report": Out(stream.Signature(layouts.report)),
                "mean_job": In(stream.Signature(job_layout(config))),
                "mean_key": In(stream.Signature(key_layout(config))),
                "mean": Out(stream.Signature(mean_layout(config))),
                "nonfinite": Out(KINDS),
                "clear": In(KINDS),
                "active": Out(KINDS),
                "working": Out(1),
            }
        )
