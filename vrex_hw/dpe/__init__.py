"""The DPE: BF16 MAC trees over a matrix tile in registers (paper: dot-product engine)."""

from vrex_hw.dpe.dpe import DPE
from vrex_hw.dpe.layouts import beat_layout, load_layout
from vrex_hw.dpe.tree import Tree

__all__ = ["DPE", "Tree", "beat_layout", "load_layout"]
