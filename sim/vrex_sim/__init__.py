"""Simulation of emitted Verilog: runner, drivers, comparison, benches, and the ``rtl`` engine.

:mod:`vrex_sim.runner` shows how to write a bench in ten lines.
"""
