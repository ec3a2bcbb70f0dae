"""Runs a free-running pipeline over its emitted Verilog, one beat a cycle."""

from vrex_hw.hierarchy import convert
from vrex_sim import runner


def drive(unit, inputs, outputs, latency=None, verilog=None):
    """Return, by output, the packed values that follow each beat by ``latency`` cycles.

    ``inputs``: by port, a packed value a cycle. ``latency`` is the unit's, ``verilog`` what is
    emitted of it, unless given; its top is called ``unit``.
    """
    latency = unit.latency if latency is None else latency
    padded = {k: [f"{v:x}" for v in [*values, *[0] * latency]] for k, values in inputs.items()}
    arguments = {"inputs": padded, "outputs": list(outputs)}
    verilog = verilog or convert(unit, "unit")
    result = runner.run(verilog, "unit", "vrex_sim.benches.dpe", arguments)
    return {name: [int(v, 16) for v in result[name][latency:]] for name in outputs}


def pack(values, bits):
    return sum(value << bits * k for k, value in enumerate(values))
