"""Bench of the ``rtl`` engine: a whole trace through the core under cocotb.

Arguments: what :meth:`vrex_sim.core_jobs.CoreJobs.arguments` tells, ``ports`` (the fields of each
:class:`vrex_sim.ports.Port`), ``seed``, ``idle`` and ``stall``. The host is
:mod:`vrex_sim.core_host`.
"""

from typing import Any

import cocotb

from vrex_sim.cocotb_device import CocotbDevice
from vrex_sim.core_host import CoreHost
from vrex_sim.exchange import arguments, give, tell
from vrex_sim.ports import Port


@cocotb.test()
async def run(dut: Any) -> None:
    """Run the whole trace."""
    given = arguments()
    found = [Port(*port) for port in given["ports"]]
    device = CocotbDevice(dut, found, seed=given["seed"], idle=given["idle"], stall=given["stall"])
    result = await device.run(CoreHost(device, given, tell).run())
    give(origin=device.bench.origin, **result)
