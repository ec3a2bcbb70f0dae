"""Stand-ins: the means of clusters that are not selected, attended for their tokens.

Our decision (docs/algorithm.md): light attention drops what no row selects, and a mean with the
weight of its cluster's tokens is nearer to them than nothing.
"""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from resv_ref.clustering import HCTable


def insert(
    keys: Tensor, values: Tensor, tables: list[HCTable], stand: list[Tensor], at: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return keys, values and counts with the stand-ins of each KV head in front of token ``at``.

    ``keys`` and ``values`` [Hkv, N, d] bfloat16, the tokens; for each KV head its table, made with
    ``estimate``, and ``stand``, numbers of sealed clusters, [n] int64, in the order of the columns.
    The results are [Hkv, M, d] bfloat16 twice, M the most columns of any head, and [Hkv, M] int64,
    for how many tokens each column stands. What lies past a head's own columns means nothing; its
    counts are 1 or more.
    """
    of_heads = []
    for k, v, table, some in zip(keys, values, tables, stand, strict=True):
        sealed = table.sealed
        ones = torch.ones(len(k), dtype=torch.int64)
        parts = (
            (k, table.means(sealed)[some]),
            (v, table.value_means(sealed)[some]),
            (ones, table.counts(sealed)[some]),
        )
        of_heads.append([torch.cat([own[:at], means, own[at:]]) for own, means in parts])
    columns = (pad_sequence(list(part), batch_first=True) for part in zip(*of_heads, strict=True))
    k, v, counts = columns
    return k, v, counts.clamp(min=1)
