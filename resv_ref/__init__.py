"""The PyTorch reference of ReSV: what the hardware is compared with, bit for bit.

:class:`ReSV` is the streaming API of one layer; :mod:`resv_ref.run` takes a whole trace through
it, :mod:`resv_ref.trace` reads and writes the files, :mod:`resv_ref.generator` makes streams.
"""

from resv_ref.generator import generate
from resv_ref.retrieval import ENGINES, ReSV, Selection
from resv_ref.trace import Trace

__all__ = ["ENGINES", "ReSV", "Selection", "Trace", "generate"]
