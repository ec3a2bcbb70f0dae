"""What travels over the HCU's streams and between its parts."""

from amaranth.hdl import Cat, Const, Value, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2, exact_log2

from vrex_hw.config import NUMBER_BITS, HCUConfig

DISTANCE_BITS = 7
"""A Hamming distance of 64 planes, and a threshold of 65, fit."""

JOB = data.StructLayout(
    {
        "first_index": NUMBER_BITS,
        "tokens": NUMBER_BITS,
        "base": NUMBER_BITS,
        "entries": NUMBER_BITS,
        "resume": 1,
    }
)
"""One packet of one (layer, KV head); the fields are told at :class:`vrex_hw.hcu.HCU`."""

ASSIGNMENT = data.StructLayout({"number": NUMBER_BITS, "opened": 1, "error": 1, "last": 1})
"""The cluster of one token, or (``last``) the trailer of a packet."""


def table_entry(config: HCUConfig) -> data.StructLayout:
    """Return the layout of one open cluster on the table stream."""
    return data.StructLayout(
        {"hash": config.hyperplanes, "first": NUMBER_BITS, "count": NUMBER_BITS}
    )


def token(config: HCUConfig) -> data.StructLayout:
    """Return the layout of one token's hash bits."""
    return data.StructLayout({"bits": config.hyperplanes})


def lane_bits(config: HCUConfig) -> int:
    """Return how many low bits of a cluster number name its lane."""
    return exact_log2(config.accumulators)


def word_bits(config: HCUConfig) -> int:
    """Return the width of a word number; one past the last word must fit."""
    return NUMBER_BITS + 1 - lane_bits(config)


def phase_bits(config: HCUConfig) -> int:
    """Return the width of a phase number (0 where a compare takes one cycle)."""
    return ceil_log2(config.phases)


def window_bits(config: HCUConfig) -> int:
    """Return a width in which the tokens of all open clusters always fit."""
    return NUMBER_BITS + exact_log2(config.open) + 1


def loaded_job(config: HCUConfig) -> data.StructLayout:
    """Return the layout of a job whose table lies in the shadow bank."""
    return data.StructLayout(
        {
            "refused": 1,
            "resume": 1,
            "first_index": NUMBER_BITS,
            "tokens": NUMBER_BITS,
            "base": NUMBER_BITS,
            "head": NUMBER_BITS,
            "low": NUMBER_BITS,
            "start": word_bits(config),
            "window": window_bits(config),
        }
    )


def ring_write(config: HCUConfig) -> data.StructLayout:
    """Return the layout of a write into the rings: a count, and with ``hashed`` all the rest."""
    return data.StructLayout(
        {
            "bank": 1,
            "number": NUMBER_BITS,
            "phase": phase_bits(config),
            "hashed": 1,
            "chunk": config.width,
            "first": NUMBER_BITS,
            "count": NUMBER_BITS,
        }
    )


def ring_lanes(config: HCUConfig) -> data.ArrayLayout:
    """Return the layout of what the rings hold of one word: a cluster a lane."""
    lane = data.StructLayout({"chunk": config.width, "first": NUMBER_BITS, "count": NUMBER_BITS})
    return data.ArrayLayout(lane, config.accumulators)


def compare_step(config: HCUConfig) -> data.StructLayout:
    """Return the layout of one cycle of one word's compare, on its way down the pipeline."""
    return data.StructLayout(
        {
            "opening": 1,  # first word of a token: forget the best so far
            "closing": 1,  # last word of a token: decide
            "first_phase": 1,
            "last_phase": 1,
            "word": word_bits(config),
            "mask": unsigned(config.accumulators),
        }
    )


def decision(config: HCUConfig) -> data.StructLayout:
    """Return the layout of what the comparer found for a token."""
    return data.StructLayout(
        {
            "found": 1,
            "distance": DISTANCE_BITS,
            "number": NUMBER_BITS,
            "count": NUMBER_BITS,
        }
    )


def chunk(config: HCUConfig, bits: Value, phase: Value) -> Value:
    """Return the ``config.width`` bits of a hash that a phase compares, padded with zeros."""
    padding = config.phases * config.width - config.hyperplanes
    return Cat(bits, Const(0, padding)).word_select(phase, config.width)
