"""Bench of the LXE's reset under cocotb: runs that are cut off, and a whole one after each.

Arguments: ``cycles``, when each lost run is cut off; of run n, ``lost_n_NAME`` and ``whole_n_NAME``
what :meth:`vrex_sim.benches.lxe_traffic.Traffic.arguments` tells of the one that is lost and of the
one behind it; ``ports``, ``seed``, ``idle`` and ``stall`` as :mod:`vrex_sim.benches.lxe` has them.
Gives back, for run n, ``n_NAME`` of all that came of the whole one, ``came_n``, how many beats each
output had given when the lost one was cut off, and ``nonfinite_n`` after the whole one.
"""

from typing import Any

import cocotb

from vrex_sim.benches.lxe_host import exchange
from vrex_sim.cocotb_device import CocotbDevice
from vrex_sim.exchange import arguments, give
from vrex_sim.ports import Port


@cocotb.test()
async def run(dut: Any) -> None:
    """Cut off, reset, run the next to its end, and again."""
    given = arguments()
    found = [Port(*port) for port in given["ports"]]
    chances = {name: given[name] for name in ("seed", "idle", "stall")}
    device = CocotbDevice(dut, found, **chances, patience=2_000)
    device.bench.set(clear=0)
    results: dict[str, Any] = {}
    for n, cycles in enumerate(given["cycles"]):
        await device.run_for(cycles, exchange(device, _part(given, f"lost_{n}_")))
        results[f"came_{n}"] = {name: port.packets for name, port in device.outputs.items()}
        whole = await device.run(exchange(device, _part(given, f"whole_{n}_")))
        results |= {f"{n}_{name}": value for name, value in whole.items()}
        results[f"nonfinite_{n}"] = device.bench.get("nonfinite")
    give(**results)


def _part(given: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the arguments whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
