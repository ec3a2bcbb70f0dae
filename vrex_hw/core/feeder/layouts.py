"""What the feeder is asked for, and what passes between its units."""

from amaranth.lib import data
from amaranth.utils import bits_for

from vrex_hw.config import Config
from vrex_hw.core.segments import index_bits
from vrex_hw.kvmu.layouts import BURST, FAULT, LINE, SEGMENT
from vrex_hw.lxe.layouts import COLUMN_BITS, FP32, KIND_BITS, MAP_BITS, Layouts

FEED = data.StructLayout(
    {
        "kind": KIND_BITS,
        "bank": 1,
        "address": LINE,
        "stride": 16,
        "tokens": 16,
        "group": 16,
        "skip": 16,
        "columns": COLUMN_BITS,
        "k": LINE,
        "v": LINE,
        "kv_stride": 16,
        "state": LINE,
        "transient": LINE,
    }
)
"""A feed job: all that one frame's hash bits, scores or attention take from memory.

``kind``: :class:`~vrex_hw.lxe.layouts.Kind`. HASH: the keys at ``address``, ``stride`` lines from
token to token, of ``tokens`` tokens but the first ``skip``. SCORE, ATTEND: the queries there,
[tokens, group, chunks]; ``columns``: sealed clusters, or tokens of all segments, the frame's own
included (those of HASH are the hyperplanes). ``bank``: of the list of segments, which has been
written and has ``columns`` tokens. ``k``, ``v``: the frame's own, ``kv_stride`` lines from token
to token; ``state``: the head's; ``transient``: first line of the bank of transient slots in use.
What a kind does not name it does not look at."""

FED = data.StructLayout({"kind": KIND_BITS, "fault": FAULT})
"""All that a feed job reads has come from memory; ``fault``: NONE or MEMORY_READ."""
READ = data.StructLayout({"valid": 1, "fault": FAULT})
"""The same of a job whose kind is known."""

SETTINGS = {
    "planes": LINE,
    "hyperplanes": 7,
    "scale_score": FP32,
    "scale_attend": FP32,
    "map": MAP_BITS,
    "temperature": 4,
}
"""Plain inputs of the feeder: first line of the hyperplanes, [tile][chunk][row], and how many;
float32 bits of 1 / sqrt(d) and of log2(e) / sqrt(d); the score map and its temperature."""

ROW_TAG = data.StructLayout({"limit": COLUMN_BITS})
"""Beside a row's lines: how many columns it attends."""
MATRIX_TAG = data.StructLayout({"counts": 1})
"""Beside a burst of the matrix: the line holds token counts of a tile, no row."""


def chunks_log2_bits(config: Config) -> int:
    """Return the bits of the logarithm of a row's chunks."""
    return bits_for(bits_for(config.chunks - 1))


def part_layout(config: Config) -> data.StructLayout:
    """Return a part of a feed job: one command of the LXE, of ``rows`` rows.

    ``last``: of its job. A job without rows has one part of 0 rows, which is no command.
    """
    return data.StructLayout({"job": FEED, "rows": bits_for(config.lxe.rows), "last": 1})


def fetch_layout(tag: data.StructLayout) -> data.StructLayout:
    """Return a burst to fetch: ``lines`` from ``address`` on, each with ``tag`` beside it.

    ``last``: of its job. One of 0 lines stands for a job that reads nothing.
    """
    return data.StructLayout({"address": LINE, "lines": BURST, "last": 1, "tag": tag})


def walk_layout(config: Config) -> data.StructLayout:
    """Return a pass through the segments: a chunk of ``height`` keys or ``values``.

    ``keep``: the next pass of its sort begins where this one ends, else where this one began.
    ``final``: the last of its job.
    """
    step = Layouts(config).step
    names = ("values", "chunk", "height")
    fields = {name: step[name].shape for name in names}
    return data.StructLayout({**fields, "keep": 1, "final": 1})


def piece_layout(config: Config) -> data.StructLayout:
    """Return the part of a pass that lies in one segment: ``lines`` tokens from ``token`` on.

    ``frame``: lines from the frame's first token to ``token``, for a token of the frame.
    """
    step = Layouts(config).step
    return data.StructLayout(
        {
            "area": SEGMENT["area"].shape,
            "slot": SEGMENT["slot"].shape,
            "token": 16,
            "frame": LINE,
            "values": 1,
            "chunk": step["chunk"].shape,
            "lines": step["height"].shape,
            "last": 1,
        }
    )


def cursor_layout(config: Config) -> data.StructLayout:
    """Return a place in the list: the segment, the token in it, and ``frame`` as in a piece."""
    return data.StructLayout({"segment": index_bits(config), "token": 16, "frame": LINE})
