"""What the LXE's streams carry, in one place for the hardware and for who drives it."""

import enum

from amaranth.lib import data
from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import Config

COLUMN_BITS = 24
"""Width of a number of matrix rows: hyperplanes, clusters or tokens."""
BF16 = 16
FP32 = 32
KIND_BITS = 2
MAP_BITS = 2
CYCLE_BITS = 32


class Kind(enum.IntEnum):
    """What a command makes of its activation rows and its matrix."""

    HASH = 0
    """Keys times hyperplanes: hash bits."""
    SCORE = 1
    """Queries times representatives: weights of clusters."""
    ATTEND = 2
    """Queries, keys and values: light attention."""


class ScoreMap(enum.IntEnum):
    """How scores become weights (``score_map``)."""

    EXP = 0
    SHIFT_MIN = 1
    RELU = 2


class Layouts:
    """The layouts of one configuration's streams, and of what passes between the LXE's units."""

    def __init__(self, config: Config) -> None:
        """Size every field by ``config``."""
        lxe = config.lxe
        rows, chunk = bits_for(lxe.rows), bits_for(config.chunks - 1)
        width = bits_for(lxe.side)
        row = data.ArrayLayout(BF16, lxe.side)
        self.command = data.StructLayout(
            {
                "kind": KIND_BITS,
                "rows": rows,
                "dimension": bits_for(max(config.head_dims)),
                "columns": COLUMN_BITS,
                "scale": FP32,
                "map": MAP_BITS,
                "temperature": 4,
            }
        )
        """``rows``, 1 or more: activation rows; ``dimension``: d; ``columns``: hyperplanes,
        clusters or tokens; ``scale``: the factor of every score, a float32's bits: 1 / sqrt(d)
        for SCORE, log2(e) / sqrt(d) for ATTEND; ``map`` and ``temperature`` (its exponent, -4
        to 4, in two's complement): those of SCORE."""
        self.activation = data.StructLayout({"data": row, "limit": COLUMN_BITS})
        """``rows`` times ceil(d / side) beats a command, row by row. ``limit``: how many of the
        columns an ATTEND row attends; the same in all beats of a row."""
        self.matrix = data.StructLayout(
            {
                "rows": data.ArrayLayout(row, lxe.load_rows),
                "counts": data.ArrayLayout(16, lxe.load_rows),
            }
        )
        """Consecutive rows of a tile; ``counts``: a SCORE's token counts of those clusters."""
        self.hash = data.StructLayout({"bits": config.hcu.hyperplanes})
        self.attention = data.StructLayout({"data": row, "last": 1})
        """``side`` elements of a row's output, chunk by chunk and in each row by row."""
        self.report = data.StructLayout(
            {
                "kind": KIND_BITS,
                "error": 1,
                "cycles": CYCLE_BITS,
                "beats": CYCLE_BITS,
                "no_matrix": CYCLE_BITS,
                "no_activation": CYCLE_BITS,
                "no_output": CYCLE_BITS,
                "no_result": CYCLE_BITS,
            }
        )
        """One a command. ``cycles``: from the end of the command before, or its own first cycle
        in the engine, to its last beat; in ``beats`` of them the DPE took a beat, and in the
        others it waited: for a tile or an activation row, for room at an output, or for a result
        of its own. ``error``: the command was refused."""
        self.step = data.StructLayout(
            {
                "kind": KIND_BITS,
                "values": 1,
                "tile": COLUMN_BITS - exact_log2(lxe.side),
                "height": width,
                "chunk": chunk,
                "width": width,
                "clear": 1,
                "final": 1,
                "first": 1,
                "last": 1,
                "base": rows,
                "rows": rows,
                "bank": 1,
                "opens": 1,
                "closes": 1,
                "lead": 1,
                "tail": 1,
                "scale": FP32,
                "columns": COLUMN_BITS,
                "map": MAP_BITS,
                "temperature": 4,
            }
        )
        """A pass: ``rows`` activation rows from ``base`` on go through one chunk of one tile.

        ``values``: the tile holds values, column-wise, and the activations are the softmax's.
        ``height``: rows of the tile; ``chunk``, ``width``: of the row, and its live elements.
        ``clear``: accumulators start from 0; ``final``: they are complete. ``first``, ``last``
        tile of the command (of the batch, for SCORE). ``bank``: of the score memory, or of the
        softmax's results. ``opens``, ``closes``: first and last pass of a batch of scores;
        ``lead``, ``tail``: of the command."""
        self.beat = data.StructLayout(
            {
                "kind": KIND_BITS,
                "values": 1,
                "row": rows,
                "score_row": rows,
                "tile": COLUMN_BITS - exact_log2(lxe.side),
                "chunk": chunk,
                "width": width,
                "visible": width,
                "clear": 1,
                "final": 1,
                "first": 1,
                "last": 1,
                "bank": 1,
                "ends": 1,
                "closes": 1,
                "tail": 1,
                "scale": FP32,
            }
        )
        """What goes with an activation row through the DPE. ``visible``: lanes that count in the
        result; ``ends``: the last of its pass; ``closes``: of a batch of scores; ``tail``: of the
        command."""
        self.accumulate = data.StructLayout(
            {
                "valid": 1,
                "values": 1,
                "chunk": chunk,
                "row": rows,
                "sums": data.ArrayLayout(FP32, lxe.side),
            }
        )
        """Sums that are not complete, on their way into the accumulator memory."""
        self.drain = data.StructLayout(
            {
                "bank": 1,
                "rows": rows,
                "columns": COLUMN_BITS,
                "map": MAP_BITS,
                "temperature": 4,
            }
        )
        """A complete batch of scores."""
