"""What the LXE's streams carry, in one place for the hardware and for who drives it."""

from amaranth.lib import data, enum
from amaranth.utils import bits_for

from vrex_hw.config import Config

COLUMN_BITS = 24
"""Width of a number of matrix rows: hyperplanes, clusters or tokens."""
BF16 = 16
FP32 = 32


class Kind(enum.Enum, shape=2):
    """What a command makes of its activation rows and its matrix."""

    HASH = 0
    """Keys times hyperplanes: hash bits."""
    SCORE = 1
    """Queries times representatives: weights of clusters."""
    ATTEND = 2
    """Queries, keys and values: light attention."""


class ScoreMap(enum.Enum, shape=2):
    """How scores become weights (``score_map``)."""

    EXP = 0
    SHIFT_MIN = 1
    RELU = 2


class Layouts:
    """The layouts of one configuration's streams."""

    def __init__(self, config: Config) -> None:
        """Size every field by ``config``."""
        lxe, lanes = config.lxe, config.wtu.lanes
        row = data.ArrayLayout(BF16, lxe.side)
        self.command = data.StructLayout(
            {
                "kind": Kind,
                "rows": bits_for(lxe.rows),
                "dimension": bits_for(max(config.head_dims)),
                "columns": COLUMN_BITS,
                "scale": FP32,
                "map": ScoreMap,
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
        self.lanes = lanes
