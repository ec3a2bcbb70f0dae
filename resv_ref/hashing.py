"""Hash bits: on which side of each random hyperplane a key lies (paper, step 1)."""

import torch
from torch import Tensor

from resv_ref import numerics
from resv_ref.numerics import BEAT, WINDOW


def hash_bits(
    keys: Tensor, hyperplanes: Tensor, exact: bool, *, beat: int = BEAT, window: int = WINDOW
) -> Tensor:
    """Return the hash bits of keys, packed: bit m is 1 where key . hyperplane m > 0.

    ``keys`` [..., w] and ``hyperplanes`` [N_hp, w] bfloat16, N_hp 1 to 64; the result is
    [...] int64, so bit 63 makes it negative. ``exact`` takes the hardware's dot product, of
    this ``beat`` and ``window``, else torch's in float32. A product that is NaN gives 0.
    """
    a, b = keys.reshape(-1, keys.shape[-1]), hyperplanes
    if exact:
        signs = numerics.matmul(a, b, beat=beat, window=window) > 0
    else:
        signs = a.float() @ b.float().T > 0
    places = torch.arange(len(hyperplanes), dtype=torch.int64)
    packed = (signs.long() << places).sum(-1)
    return packed.reshape(keys.shape[:-1])
