"""The VPE: fp32 lanes for what is no dot product (paper: vector processing engine)."""
