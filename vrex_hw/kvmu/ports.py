"""How the units of the core reach device memory, a head's map and the host link."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import (
    BURST,
    FAULT,
    LINE,
    LINK_COMPLETION,
    LINK_REQUEST,
    MAP_ENTRY,
    OPEN_ENTRY,
    REQUEST,
    line_layout,
    receive_layout,
    send_layout,
)
from vrex_hw.kvmu.regions import Regions

BURST_REQUEST = data.StructLayout({"address": LINE, "lines": BURST})
"""1 to 256 lines from line ``address`` on."""


class ReadSignature(wiring.Signature):
    """Reads device memory; seen from the unit that reads.

    ``request``: a burst; ``line``: its lines, in the order of the requests, each ``valid`` for one
    cycle. Who asks has room for what it asked for: a line cannot be held up. ``error``: the memory
    answered with an error, the data mean nothing.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        line = {"valid": 1, "error": 1, "data": line_layout(config.lxe.side)}
        super().__init__(
            {
                "request": Out(stream.Signature(BURST_REQUEST)),
                "line": In(data.StructLayout(line)),
            }
        )


class WriteSignature(wiring.Signature):
    """Writes device memory; seen from the unit that writes.

    ``request``: a burst; ``line``: its lines, in order, at any time from the request on; an element
    of a line is written where ``mask`` is 1. ``done`` pulses once a request, in order, when what it
    wrote can be read: with ``error`` if the memory said so, with ``outside`` if the burst leaves
    the ``size`` lines from ``base`` on: it is then not written. ``base`` and ``size`` are held
    from the request until done.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        side = config.lxe.side
        line = data.StructLayout({"data": line_layout(side), "mask": side})
        super().__init__(
            {
                "base": Out(LINE),
                "size": Out(LINE),
                "request": Out(stream.Signature(BURST_REQUEST)),
                "line": Out(stream.Signature(line)),
                "done": In(data.StructLayout({"valid": 1, "error": 1, "outside": 1})),
            }
        )


class MapSignature(wiring.Signature):
    """The map of the head in hand, a word (the entries of a line) at a time; seen from its user.

    ``data`` is the word at ``address`` one cycle after ``read``, and stays until the next read. A
    write goes to ``write_address``, into the entries that ``write`` has a bit for. A word that is
    written and read in the same cycle reads as it was before.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the entries of ``config``."""
        regions = Regions(config)
        word = data.ArrayLayout(MAP_ENTRY, regions.map_lanes)
        address = ceil_log2(regions.map_lines)
        super().__init__(
            {
                "read": Out(1),
                "address": Out(address),
                "data": In(word),
                "write": Out(regions.map_lanes),
                "write_address": Out(address),
                "write_data": Out(word),
            }
        )


class OpenSignature(wiring.Signature):
    """The open clusters of the head in hand, one at a time, by their slot; seen from the user.

    Reads and writes as in :class:`MapSignature`.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the slots of ``config``."""
        address = ceil_log2(config.kvmu.window_slots)
        super().__init__(
            {
                "read": Out(1),
                "address": Out(address),
                "data": In(OPEN_ENTRY),
                "write": Out(1),
                "write_address": Out(address),
                "write_data": Out(OPEN_ENTRY),
            }
        )


TRANSFER = data.StructLayout({"write": 1, "address": LINE, "lines": REQUEST})
"""Lines to bring from the host, or to take there (``write``)."""


class TransferSignature(wiring.Signature):
    """Moves lines to and from the host; seen from the unit that wants them moved.

    ``request``: what to move. ``give``: the lines of the requests that write, in order. ``line``:
    those of the others, each ``valid`` for one cycle, in order. ``result`` pulses once a request,
    in order, with its fault. After one that failed, no line of a request comes that was under way
    with it; each of these ends with a fault too.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        line = line_layout(config.lxe.side)
        super().__init__(
            {
                "request": Out(stream.Signature(TRANSFER)),
                "give": Out(stream.Signature(line)),
                "line": In(data.StructLayout({"valid": 1, "data": line})),
                "result": In(data.StructLayout({"valid": 1, "fault": FAULT})),
            }
        )


class LinkSignature(wiring.Signature):
    """The host link, seen from the core; what is behind it may be PCIe DMA, NVMe or a UART.

    ``request`` and ``completion``: a pair for each tag. ``send``: the lines of the requests that
    write, in order, ``last`` with the last of each. ``receive``: those of the others, a packet for
    each, in the order of the requests. A completion may come in any order, and before or after
    the packet. What nobody asked for is taken and dropped.
    """

    def __init__(self, config: Config) -> None:
        """Make it for the lines of ``config``."""
        side = config.lxe.side
        super().__init__(
            {
                "request": Out(stream.Signature(LINK_REQUEST)),
                "completion": In(stream.Signature(LINK_COMPLETION)),
                "send": Out(stream.Signature(send_layout(side))),
                "receive": In(stream.Signature(receive_layout(side))),
            }
        )
