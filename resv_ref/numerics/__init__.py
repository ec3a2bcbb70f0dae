"""The normative text of every rounding: what the hardware does, bit for bit, in torch.

Formats and single operations are in :mod:`~resv_ref.numerics.bf16` and
:mod:`~resv_ref.numerics.fp32`; the engine's dot product, the weights of scores, the reciprocal
and the mean key are built on them. Source: docs/numerics.md.
"""

from resv_ref.numerics import fp32
from resv_ref.numerics.bf16 import from_bf16, to_bf16
from resv_ref.numerics.dot import BEAT, WINDOW, check_sizes, dot, matmul
from resv_ref.numerics.exp2 import exp2, exp2_bf16
from resv_ref.numerics.exp_weight import exp_weight
from resv_ref.numerics.fp32 import is_poisoned
from resv_ref.numerics.maps import scale, weights, weights_float
from resv_ref.numerics.mean import mean_bf16
from resv_ref.numerics.reciprocal import reciprocal

__all__ = [
    "BEAT",
    "WINDOW",
    "check_sizes",
    "dot",
    "exp2",
    "exp2_bf16",
    "exp_weight",
    "fp32",
    "from_bf16",
    "is_poisoned",
    "matmul",
    "mean_bf16",
    "reciprocal",
    "scale",
    "to_bf16",
    "weights",
    "weights_float",
]
