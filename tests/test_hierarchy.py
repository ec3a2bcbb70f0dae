"""Modules that stand in many places have no reset, so none of their registers may want one."""

import re

from amaranth.back import verilog

from vrex_hw.config import CONFIGS
from vrex_hw.hierarchy import OPTIONS, Library
from vrex_hw.lxe.lxe import LXE

PASSED_ON = re.compile(r"^(module .*|  (input|wire) rst;|    \.rst\(rst\),?)$", re.M)
"""Where a reset is only taken in and given on."""


def resets(text: str) -> int:
    """Return how often the reset is used in ``text``."""
    return len(re.findall(r"\brst\b", PASSED_ON.sub("", text)))


def test_placed_modules_need_no_reset() -> None:
    """Emitted with a reset after all, none of them uses it; the LXE around them does."""
    library = Library()
    top = verilog.convert(LXE(CONFIGS["tiny"]), name="lxe", platform=library, **OPTIONS)
    assert resets(top) > 0
    seen: set[str] = set()
    while left := library.modules.keys() - seen:
        name = min(left)
        seen.add(name)
        text = verilog.convert(library.modules[name], name=name, platform=library, **OPTIONS)
        assert resets(text) == 0, name
    assert {"dpe_multiplier_8", "vrex_softmax_lane", "mean_divide"} <= seen
