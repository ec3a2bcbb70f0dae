"""Hash-bit cluster unit (HCU)."""

from vrex_hw.hcu.hcu import HCU
from vrex_hw.hcu.layouts import ASSIGNMENT, JOB, table_entry, token

__all__ = ["ASSIGNMENT", "HCU", "JOB", "table_entry", "token"]
