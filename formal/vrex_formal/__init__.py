"""Proofs about the hardware with sby: streams, FIFOs, the ring of open clusters, the WTU's set."""

from vrex_formal.proof import Proof, Result, check
from vrex_formal.runner import PROOFS, prove

__all__ = ["PROOFS", "Proof", "Result", "check", "prove"]
