"""Online softmax: what it takes and gives."""

from amaranth.lib import data

from vrex_hw.config import Config


def row_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row of scores: ``side`` of them, those of one tile.

    ``z``: float32 bits, scores in units of a power of two; ``live``: those that the row attends;
    ``first``, ``last``: tile of the row; ``bank``: goes through.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "row": range(lxe.rows),
            "bank": 1,
            "first": 1,
            "last": 1,
            "live": lxe.side,
            "z": data.ArrayLayout(32, lxe.side),
        }
    )


def result_layout(config: Config) -> data.StructLayout:
    """Return the layout of a row's result for one tile.

    ``p``: BF16 bits; ``shift``: by how many powers of two what was summed before is to shrink;
    ``inverse``: float32 bits of what to multiply the finished sums by, in the ``last`` tile.
    """
    lxe = config.lxe
    return data.StructLayout(
        {
            "valid": 1,
            "row": range(lxe.rows),
            "bank": 1,
            "last": 1,
            "live": lxe.side,
            "p": data.ArrayLayout(16, lxe.side),
            "shift": 8,
            "inverse": 32,
        }
    )
