"""Bench of a device under cocotb: the doubler's host, its values given back."""

import cocotb
from doubler_host import exchange

from vrex_sim.cocotb_device import CocotbDevice
from vrex_sim.exchange import arguments, give
from vrex_sim.ports import Port


@cocotb.test()
async def bench(dut):
    a = arguments()
    device = CocotbDevice(dut, [Port(*port) for port in a["ports"]], **a["chances"])
    device.bench.set(fault=a["fault"])
    give(out=await device.run(exchange(device, a["values"], a["wanted"])), cycle=device.cycle)
