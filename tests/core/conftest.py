"""A system of the tiny core, and helpers beside the tests that are imported by their names."""

import sys
from functools import cache
from pathlib import Path

import pytest

from vrex_hw.config import CONFIGS
from vrex_hw.models.system import emit

sys.path.insert(0, str(Path(__file__).parent))

MEMORY_LINES, LINK_LINES = 1 << 17, 1 << 13
"""As in the tests of the engines: equal Verilog is built once."""


@cache
def verilog() -> str:
    return emit(CONFIGS["tiny"], MEMORY_LINES, LINK_LINES)


@pytest.fixture(scope="session")
def system() -> str:
    """The Verilog of a tiny core with memory and link."""
    return verilog()
