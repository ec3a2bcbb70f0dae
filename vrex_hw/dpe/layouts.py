"""What goes into the DPE each cycle."""

from amaranth.lib import data

from vrex_hw.config import LXEConfig

BF16, FP32 = 16, 32


def load_layout(config: LXEConfig) -> data.StructLayout:
    """Return the layout of a load of up to ``load_rows`` rows of a tile (:class:`DPE`)."""
    row = data.ArrayLayout(BF16, config.side)
    return data.StructLayout(
        {
            "valid": 1,
            "bank": 1,
            "column": 1,
            "index": range(config.side),
            "enable": config.load_rows,
            "rows": data.ArrayLayout(row, config.load_rows),
        }
    )


def beat_layout(config: LXEConfig) -> data.StructLayout:
    """Return the layout of a beat: activations, which of them are live, and accumulators."""
    return data.StructLayout(
        {
            "bank": 1,
            "live": config.side,
            "a": data.ArrayLayout(BF16, config.side),
            "acc": data.ArrayLayout(FP32, config.side),
        }
    )
