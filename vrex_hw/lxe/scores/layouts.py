"""What goes into the score path beside its streams, and the shape of its memories."""

from amaranth.lib import data

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import FP32

COUNT_BITS = 16


def words(config: Config) -> int:
    """Return how many words of ``side`` scores the longest row takes."""
    return -(-config.wtu.entries // config.lxe.side)


def write_layout(config: Config) -> data.StructLayout:
    """Return the layout of a write of ``side`` scores of one row.

    ``valid``: there is one in this cycle. ``word``: the number of the tile; ``live``: which lanes
    are clusters. ``clear``: the first of its row, whose maximum and minimum start anew.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "bank": 1,
            "row": range(lxe.score_rows),
            "word": range(words(config)),
            "live": lxe.side,
            "scores": data.ArrayLayout(FP32, lxe.side),
            "clear": 1,
        }
    )


def counts_layout(config: Config) -> data.StructLayout:
    """Return the layout of a write of up to ``load_rows`` token counts.

    ``valid``: there is one in this cycle. Count k is that of cluster word * side + index + k, if
    ``enable`` has bit k; ``index`` is a multiple of ``load_rows``.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "bank": 1,
            "word": range(words(config)),
            "index": range(lxe.side),
            "enable": lxe.load_rows,
            "counts": data.ArrayLayout(COUNT_BITS, lxe.load_rows),
        }
    )
