"""What the storer takes and gives, and what passes between its parts."""

from amaranth.lib import data
from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import NUMBER_BITS, Config
from vrex_hw.kvmu.layouts import COUNT, FAULT, LINE, line_layout
from vrex_hw.kvmu.regions import Regions


def job_layout(config: Config) -> data.StructLayout:
    """Return the layout of a job; :class:`~vrex_hw.kvmu.storer.Storer` tells its fields."""
    return data.StructLayout(
        {
            "state": LINE,
            "host": LINE,
            "host_tokens": LINE,
            "k": LINE,
            "v": LINE,
            "kv_stride": 16,
            "dimension": bits_for(max(config.head_dims)),
            "chunks_log2": bits_for(Regions(config).chunk_bits),
            "tokens": 16,
            "skip": 16,
            "start": LINE,
            "sealed": NUMBER_BITS,
            "opened": NUMBER_BITS,
            "offloaded": LINE,
        }
    )


DONE = data.StructLayout(
    {"fault": FAULT, "sealed": NUMBER_BITS, "opened": NUMBER_BITS, "offloaded": LINE}
)
"""How a job ended, and the head's numbers after it. With a fault these mean nothing."""

TASK = data.StructLayout({"number": NUMBER_BITS, "count": COUNT, "offset": LINE})
"""A cluster that is being sealed: its tokens, and the token at which it begins on the host."""


def place_layout(config: Config) -> data.StructLayout:
    """Return the layout of a token's place: ``position`` in a ``window`` slot, or in the sinks'."""
    return data.StructLayout(
        {
            "window": 1,
            "slot": exact_log2(config.kvmu.window_slots),
            "position": Regions(config).token_bits,
        }
    )


def line_write(config: Config) -> data.StructLayout:
    """Return the layout of a line on its way to memory; written where ``mask`` is 1."""
    side = config.lxe.side
    return data.StructLayout({"address": LINE, "data": line_layout(side), "mask": side})
