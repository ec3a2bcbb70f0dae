"""The tables of :mod:`vrex.tables`, evaluated: the datapath behind exp2 and the reciprocal."""

import torch
from torch import Tensor

from vrex.tables import Linear, Quadratic


def quadratic(table: Quadratic, fraction: Tensor) -> Tensor:
    """Return the function of ``fraction * 2^-(index + low)`` in units of 2^-y_bits.

    ``fraction``: int64 of any shape, 0 to 2^(index + low) - 1; the result is int64.
    """
    argument = table.index + table.low
    rows = torch.tensor(table.rows, device=fraction.device)
    c0, c1, c2 = rows[fraction >> table.low].unbind(-1)
    r = fraction & ((1 << table.low) - 1)
    inner = c1 - ((c2 * r) >> (table.c2_bits + argument - table.c1_bits))
    return c0 - ((r * inner) >> (table.c1_bits + argument - table.y_bits))


def linear(table: Linear, fraction: Tensor) -> Tensor:
    """Return the function of ``fraction * 2^-(index + low)`` in units of 2^-y_bits.

    ``fraction``: int64 of any shape, 0 to 2^(index + low) - 1; the result is int64.
    """
    rows = torch.tensor(table.rows, device=fraction.device)
    c0, c1 = rows[fraction >> table.low].unbind(-1)
    r = fraction & ((1 << table.low) - 1)
    return c0 - ((r * c1) >> table.low)
