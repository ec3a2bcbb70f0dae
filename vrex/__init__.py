"""What the reference and the hardware share: ReSV's parameters and the one error a user sees."""

from vrex.errors import UserError
from vrex.params import MODES, Params

__all__ = ["MODES", "Params", "UserError"]
