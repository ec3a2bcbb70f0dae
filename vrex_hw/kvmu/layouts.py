"""What lies in a head's state, and what passes between the KVMU's units.

A line number (``LINE`` bits) counts lines of device memory or of the host, as
:mod:`vrex_hw.kvmu.regions` has them; a number of lines or tokens of a stream is as wide.
"""

import enum

from amaranth.lib import data

from vrex.residency import Policy as Policy

LINE = 32
"""Bits of a line number, and of a count of tokens of a stream."""
BURST = 9
"""Bits of the lines of one request to device memory, 1 to 256."""
COUNT = 9
"""Bits of the tokens of a cluster, at most 256."""
SLOT = 16
"""Bits of a slot's number in its area."""
PRIORITY = 8
"""Bits of what decides which resident cluster gives way: the least."""
TAG = 16
"""Bits of the tag of a request to the host link."""
REQUEST = 16
"""Bits of the lines of a request to the host link."""


class Fault(enum.IntEnum):
    """What went wrong with a job; 0: nothing."""

    NONE = 0
    MEMORY_READ = 1
    """Device memory answered a read with an error."""
    MEMORY_WRITE = 2
    """Device memory answered a write with an error."""
    LINK_ERROR = 3
    """The host link completed a request with an error."""
    LINK_SHORT = 4
    """The host link moved fewer or more lines than were asked for."""
    LINK_LATE = 5
    """A request was not complete within ``link_limit`` cycles."""
    HOST_FULL = 6
    """A sealed cluster does not fit the head's region on the host."""
    STATE_OPEN = 7
    """The state is of a job that did not end well, or of none: begin the head anew."""
    STATE_FULL = 8
    """The head has more sealed clusters than WTU entries, or 65,535 clusters."""
    WINDOW_FULL = 9
    """More clusters are open than there are window slots, or than the HCU takes."""
    BAD_JOB = 10
    """A field of the job is out of its bounds."""
    OUT_OF_BOUNDS = 11
    """An address left its region; nothing was written or asked for."""


FAULT = 4
"""Bits of a fault."""


class Area(enum.IntEnum):
    """Where a segment of a frame's context lies."""

    SINKS = 0
    WINDOW = 1
    RESIDENT = 2
    TRANSIENT = 3
    FRAME = 4
    """The frame's own tokens, as the job gives them."""


HEADER = data.StructLayout(
    {
        "sealed": 16,
        "opened": 16,
        "used": 16,
        "busy": 1,
        "padding": 15,
        "tokens": LINE,
        "offloaded": LINE,
    }
)
"""``sealed``: clusters sealed; ``opened``: clusters so far; ``used``: resident slots that were
given out; ``busy``: a job has begun and not ended; ``tokens`` of the stream so far, and of those
``offloaded`` to the host. All zero: a new head."""

MAP_ENTRY = data.StructLayout(
    {
        "offset": LINE,
        "count": COUNT,
        "slot": 12,
        "resident": 1,
        "chosen": 1,
        "fresh": 1,
        "priority": PRIORITY,
    }
)
"""A sealed cluster: the token at which it begins on the host, its tokens; the slot in which it is
``resident``; whether this job has ``chosen`` it, and asked the host for it (``fresh``)."""

OPEN_ENTRY = data.StructLayout({"hash": 64, "first": 16, "count": 16, "padding": 32})
"""An open cluster: its leader's hash bits, the index of its first token modulo 2^16, its tokens."""

SEGMENT = data.StructLayout({"area": 3, "slot": SLOT, "count": 16})
"""``count`` tokens that a frame attends, the first of the slot ``slot`` of ``area``."""

DESCRIPTOR = data.StructLayout(
    {
        "id": 16,
        "fence": 1,
        "text": 1,
        "padding": 14,
        "state": LINE,
        "host": LINE,
        "host_tokens": LINE,
        "q": LINE,
        "q_score": LINE,
        "k": LINE,
        "v": LINE,
        "k_hash": LINE,
        "out": LINE,
        "tokens": 16,
        "group": 16,
        "kv_stride": 16,
        "q_stride": 16,
    }
)
"""A job: one frame of one KV head of one layer. All addresses are lines.

``id`` comes back in the job's status. ``fence``: begin when every job before has ended. ``text``:
the rows are those of a question or an answer, whose floor and cap are ``text_k_min`` and
``text_k_max``. ``state``: the head's; ``host``: its region there, for ``host_tokens`` tokens.
``q``, ``q_score``: queries that attend and that score, [tokens, group, chunks], ``q_stride`` lines
from token to token, as ``out``; ``k``, ``v``, ``k_hash``: [tokens, chunks], ``kv_stride`` lines
from token to token. ``tokens``: of the frame, 1 or more; ``group``: query heads that share the KV
head."""

STATUS = data.StructLayout(
    {
        "id": 16,
        "fault": FAULT,
        "padding": 12,
        "cycle": 32,
        "fetched": LINE,
        "chosen": 16,
        "hits": 16,
    }
)
"""What is written when a job has ended: its ``id`` and fault, the cycle since reset (modulo 2^32),
the tokens that came from the host, the clusters chosen, and of these the resident ones."""

LINK_REQUEST = data.StructLayout({"tag": TAG, "write": 1, "address": LINE, "lines": REQUEST})
"""To the host link: bring ``lines`` from ``address``, or take them there (``write``)."""
LINK_COMPLETION = data.StructLayout({"tag": TAG, "error": 1, "lines": REQUEST})
"""From the host link: the request of that tag has moved so many lines, or failed."""


def line_layout(side: int) -> data.ArrayLayout:
    """Return a line: ``side`` elements of 16 bits."""
    return data.ArrayLayout(16, side)


def send_layout(side: int) -> data.StructLayout:
    """Return a beat to the host link: a line, ``last`` with the last of its request."""
    return data.StructLayout({"data": line_layout(side), "last": 1})


def receive_layout(side: int) -> data.StructLayout:
    """Return a beat from the host link: a line of the request of that tag."""
    return data.StructLayout({"data": line_layout(side), "tag": TAG, "last": 1})
