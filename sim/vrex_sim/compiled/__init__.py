"""Emitted Verilog in a compiled C++ loop, without cocotb: the ``compiled`` engine's device."""

from vrex_sim.compiled.device import ORIGIN, CompiledDevice

__all__ = ["ORIGIN", "CompiledDevice"]
