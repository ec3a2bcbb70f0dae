"""What lies where in TDATA of the KVPU's streams (our decision; first field in the lowest bits)."""

from amaranth.lib import data

from vrex_hw.config import Config, HCUConfig, WTUConfig

ENTRY_BYTES = 4
"""Bytes of one entry of a weight row: 16 bits of weight, then 16 bits of token count."""
WORD_BITS = 15
"""Bits of a lane's word in a row's selection; the sixteenth says whether it is a hit."""


def hash_layout(config: HCUConfig) -> data.StructLayout:
    """Return one token's hash: N_hp bits (bit m is hyperplane m), zero to the next byte."""
    return data.StructLayout(
        {"bits": config.hyperplanes, "padding": -config.hyperplanes % 8},
    )


def table_layout(config: HCUConfig) -> data.StructLayout:
    """Return one open cluster: its hash padded to bytes, first token's index, member count."""
    return data.StructLayout({"hash": hash_layout(config), "first": 16, "count": 16})


def row_layout(config: WTUConfig) -> data.StructLayout:
    """Return one beat of a weight row: ``lanes`` entries of 4 bytes, cluster 0 lowest."""
    entry = data.StructLayout({"weight": 16, "count": 16})
    return data.StructLayout({"lanes": data.ArrayLayout(entry, config.lanes)})


RESULT = data.StructLayout({"number": 16, "opened": 1, "error": 1, "padding": 14})
"""32 bits: every beat of ``m_axis_assign`` and ``m_axis_selected``, and every trailer."""


def selection_layout(config: WTUConfig) -> data.StructLayout:
    """Return one beat of a row's selection: 16 bits a lane, at least 32 bits in all."""
    lane = data.StructLayout({"word": WORD_BITS, "hit": 1})
    return data.StructLayout(
        {"lanes": data.ArrayLayout(lane, config.lanes), "padding": max(0, 32 - 16 * config.lanes)}
    )


def stream_layouts(config: Config) -> dict[str, data.StructLayout]:
    """Return the layout of TDATA of each stream, by its port's name."""
    return {
        "s_axis_table": table_layout(config.hcu),
        "s_axis_hash": hash_layout(config.hcu),
        "m_axis_assign": RESULT,
        "s_axis_row": row_layout(config.wtu),
        "m_axis_row": selection_layout(config.wtu),
        "m_axis_selected": RESULT,
    }
