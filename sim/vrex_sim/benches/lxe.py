"""Bench of the LXE under cocotb: commands and their beats in, everything that comes out given back.

Arguments: what :meth:`vrex_sim.benches.lxe_traffic.Traffic.arguments` tells, ``ports`` (the fields
of each :class:`vrex_sim.ports.Port`), ``seed``, ``idle`` and ``stall``. Beside the beats it gives
``nonfinite`` as it stands at the end, and as it stands when each bit in turn has been ``cleared``.
"""

from typing import Any

import cocotb

from vrex_hw.lxe.ports import KINDS
from vrex_sim.benches.lxe_host import exchange
from vrex_sim.cocotb_device import CocotbDevice
from vrex_sim.exchange import arguments, give
from vrex_sim.ports import Port


@cocotb.test()
async def run(dut: Any) -> None:
    """Send all that there is and wait for all that must come."""
    given = arguments()
    found = [Port(*port) for port in given["ports"]]
    device = CocotbDevice(dut, found, seed=given["seed"], idle=given["idle"], stall=given["stall"])
    device.bench.set(clear=0)
    result = await device.run(exchange(device, given))
    nonfinite, cleared = device.bench.get("nonfinite"), []
    for bit in range(KINDS.size):
        device.bench.set(clear=1 << bit)
        await device.bench.cycles(2)
        cleared.append(device.bench.get("nonfinite"))
    give(nonfinite=nonfinite, cleared=cleared, **result)
