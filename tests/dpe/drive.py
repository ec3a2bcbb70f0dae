"""Runs a free-running pipeline over its emitted Verilog, one beat a cycle."""

from vrex_hw.hierarchy import convert
from vrex_sim import runner


def drive(unit, inputs, outputs):
    """Return, by output, the packed values that follow each beat by ``unit.latency``.

    ``inputs``: by port, a packed value a cycle.
    """
    padded = {k: [f"{v:x}" for v in [*values, *[0] * unit.latency]] for k, values in inputs.items()}
    arguments = {"inputs": padded, "outputs": list(outputs)}
    result = runner.run(convert(unit, "unit"), "unit", "vrex_sim.benches.dpe", arguments)
    return {name: [int(v, 16) for v in result[name][unit.latency :]] for name in outputs}


def pack(values, bits):
    return sum(value << bits * k for k, value in enumerate(values))
