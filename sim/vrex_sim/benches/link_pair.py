"""Bench of the link port with the behavioural link behind it, as one unit.

Arguments: ``config``, ``seed``, ``idle``, ``stall``; ``host``, its lines at the start; ``phases``,
each with ``inputs`` (plain inputs by name), ``transfers`` (``write``, ``address``, ``lines``),
``give`` (the lines to be written) and ``wait``, cycles to wait at its end; ``reset``, cycles after
which both are reset in the midst of other transfers, before the first phase. Lines are packed.

Gives back, for each phase, ``results`` (faults' names), ``at`` (their cycles), ``lines``; the
``host``'s lines at the end; ``broken``; and how often ``unknown`` pulsed.
"""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from vrex_hw.config import from_dict
from vrex_hw.kvmu.layouts import FAULT, LINE, Fault, line_layout
from vrex_hw.kvmu.ports import TRANSFER
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give
from vrex_sim.packer import Packer


async def disturb(tb: Bench, cycles: int) -> None:
    """Ask for reads and writes by hand, then reset in the midst of them."""
    request = Packer(TRANSFER)
    tb.set(transfer__give__valid=1, transfer__give__payload=1, transfer__request__valid=1)
    for number in range(cycles):
        wanted = {"write": number & 1, "address": 0, "lines": 3}
        tb.set(transfer__request__payload=request.pack(wanted))
        await tb.cycles(1)
    tb.set(transfer__give__valid=0, transfer__request__valid=0, rst=1)
    await tb.cycles(2)
    tb.set(rst=0)


class Ports:
    """What the unit gives without a handshake, cycle by cycle."""

    def __init__(self, tb: Bench) -> None:
        """Look at the unit of ``tb``."""
        self._tb = tb
        self.cycle = self.unknown = 0
        self.clear()

    def clear(self) -> None:
        """Forget all results and lines."""
        self.results: list[str] = []
        self.at: list[int] = []
        self.lines: list[int] = []

    async def step(self) -> None:
        """Let a cycle pass."""
        await RisingEdge(self._tb.dut.clk)
        self.cycle += 1
        self.unknown += self._tb.get("unknown")
        line, result = self._tb.get("transfer__line"), self._tb.get("transfer__result")
        if line & 1:
            self.lines.append(line >> 1)
        if result & 1:
            self.results.append(Fault(result >> 1 & (1 << FAULT) - 1).name)
            self.at.append(self.cycle)


@cocotb.test()
async def bench(dut: Any) -> None:
    """Load the host, run the phases, dump the host."""
    a = arguments()
    layout = line_layout(from_dict(a["config"]).lxe.side)
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=40_000)
    ask, lines = tb.source("transfer__request", TRANSFER), tb.source("transfer__give", layout)
    load, dump = tb.source("load", LINE + layout.size), tb.source("dump", LINE)
    dumped, ports = tb.sink("dumped", layout.size), Ports(tb)
    tb.set(fault_at=0, stall=0, latency=0, interval=0, limit=0)
    await tb.reset()
    if a["reset"]:
        await disturb(tb, a["reset"])
    load.send_packed(address | line << LINE for address, line in enumerate(a["host"]))
    await load.drained()
    phases = []
    for phase in a["phases"]:
        tb.set(**phase["inputs"])
        ports.clear()
        await ports.step()
        ask.send_all(phase["transfers"])
        lines.send_packed(phase["give"])
        while len(ports.results) < len(phase["transfers"]) or lines.pending:
            await ports.step()
        for _ in range(phase["wait"]):
            await ports.step()
        phases.append({"results": ports.results, "at": ports.at, "lines": ports.lines})
    dump.send_packed(range(len(a["host"])))
    host = [await dumped.beat() for _ in a["host"]]
    await tb.finish()
    give(phases=phases, host=host, broken=tb.get("broken"), unknown=ports.unknown)
