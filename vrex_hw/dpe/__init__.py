"""The DPE: BF16 MAC trees over a matrix tile in registers (paper: dot-product engine)."""
