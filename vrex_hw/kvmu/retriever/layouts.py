"""What passes between the retriever's units, and the words of the map that they walk over."""

from typing import Any

from amaranth import Cat, Mux
from amaranth.lib import data

from vrex_hw.kvmu.layouts import COUNT, FAULT, LINE, SLOT

JOB = data.StructLayout(
    {
        "state": LINE,
        "transient": LINE,
        "host": LINE,
        "host_tokens": LINE,
        "chunks_log2": 4,
        "sealed": 16,
        "used": 16,
        "room": 16,
        "policy": 1,
    }
)
"""``state``: first line of the head's state; ``transient``: of this job's bank of slots; ``host``:
of its region on the host, which is for ``host_tokens`` tokens; ``chunks_log2``: log2 of a key's
chunks; ``sealed`` clusters; resident slots ``used`` so far, and the ``room`` that there is for
them (what is above ``resident_slots`` does not count); the ``policy``."""

DONE = data.StructLayout({"fault": FAULT, "used": 16})
"""How the job ended, and the resident slots used since."""

CLUSTER = data.StructLayout({"offset": LINE, "count": COUNT, "transient": 1, "slot": SLOT})
"""A cluster to fetch: the token at which it begins on the host, its tokens, where it lands."""

LANDING = data.StructLayout({"count": COUNT, "transient": 1, "slot": SLOT})
"""A cluster whose lines are on their way."""


def lane_bits(lanes: int) -> int:
    """Return the low bits of a cluster's number that name its entry in a word of the map."""
    return (lanes - 1).bit_length()


def words_of(sealed: Any, lanes: int) -> Any:
    """Return how many words of the map hold ``sealed`` clusters."""
    return (sealed + (lanes - 1)) >> lane_bits(lanes)


def live(sealed: Any, word: Any, lanes: int) -> Any:
    """Return a bit for each entry of ``word``, one of :func:`words_of`: whether it is sealed."""
    bits = lane_bits(lanes)
    rest = sealed[:bits]
    return Mux(word == sealed[bits:], Cat(lane < rest for lane in range(lanes)), (1 << lanes) - 1)
