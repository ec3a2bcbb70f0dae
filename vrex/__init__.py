"""What the reference and the hardware share: ReSV's parameters and the errors a user sees."""

from vrex.errors import HardwareError, UserError
from vrex.params import MODES, Params

__all__ = ["MODES", "HardwareError", "Params", "UserError"]
