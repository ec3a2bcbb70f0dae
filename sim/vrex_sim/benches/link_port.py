"""Bench of the link port: transfers over a link that answers as it is told.

Arguments: ``config``; ``transfers``, each ``write``, ``address``, ``lines`` and ``plan``, a key of
:data:`~vrex_sim.benches.link_answers.FAULTS`; ``limit`` (in force if ``timed``), ``epoch``,
``delay``, ``idle``, ``stall``, ``seed``; ``dead``, a list of spans of cycles in which the link
takes nothing, so that anything may be late; ``stale``, tags that are answered from the start. The
link tells lines by their address. Every line, result and packet is checked here.

Gives back ``results``, the faults' names; ``at``, the cycles in which they came; ``lines`` and
``sends``, those in which lines came and went; the port's ``requests``, ``fetched``, ``sent``, and
how often ``unknown`` pulsed.
"""

from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from vrex_hw.config import Config, from_dict
from vrex_hw.kvmu.layouts import FAULT, Fault, line_layout
from vrex_hw.kvmu.ports import TRANSFER
from vrex_sim.benches.link_answers import FAULTS, Answers, line
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


class Client:
    """Judges what the port gives to whoever wants the transfers."""

    def __init__(self, config: Config, a: dict[str, Any]) -> None:
        """``a``: the bench's arguments."""
        self._config, self._transfers = config, a["transfers"]
        self._spared = {Fault.LINK_LATE.name} if a["dead"] else set()
        self.begun = 0
        """Transfers that the port has taken."""
        self.given = 0
        """Lines that the port has taken."""
        self.results: list[str] = []
        self._group, self._cause = 0, ""
        self._due: deque[tuple[int, int]] = deque()

    def take(self, value: int) -> None:
        """Take a line: it must be the next of a transfer under way."""
        if not self._due:
            raise AssertionError(f"a line that no transfer waits for: {value:#x}")
        number, address = self._due.popleft()
        if value != line(self._config, address):
            raise AssertionError(f"transfer {number}: address {address} reads {value:#x}")

    def begin(self) -> None:
        """Note that the port has taken a transfer."""
        transfer = self._transfers[self.begun]
        if not transfer["write"]:
            first = transfer["address"]
            self._due.extend((self.begun, first + k) for k in range(transfer["lines"]))
        self.begun += 1

    def end(self, fault: str) -> None:
        """Take a result."""
        number = len(self.results)
        if number >= self.begun:
            raise AssertionError(f"a result, {fault}, of no transfer")
        transfer = self._transfers[number]
        self.results.append(fault)
        if number < self._group:
            if fault != self._cause:
                raise AssertionError(f"transfer {number}: {fault} after {self._cause}")
        elif fault not in {*FAULTS[transfer["plan"]], *self._spared}:
            raise AssertionError(f"transfer {number}, {transfer}: {fault}")
        elif fault != Fault.NONE.name:
            self._group, self._cause = self.begun, fault
            self._due.clear()
        elif self._due and self._due[0][0] <= number:
            raise AssertionError(f"transfer {number} ends, but {len(self._due)} lines are due")
        if transfer["write"]:
            needed = sum(t["lines"] for t in self._transfers[: number + 1] if t["write"])
            if self.given < needed:
                raise AssertionError(f"transfer {number} ends after {self.given} of {needed} lines")


def check_written(config: Any, transfers: list[dict[str, Any]], client: Client, answers: Answers):
    """Check the packets: right lines, and zeros from anywhere on if the transfer has failed."""
    for number, transfer in enumerate(transfers):
        if not transfer["write"]:
            continue
        lines = [line(config, transfer["address"] + k) for k in range(transfer["lines"])]
        sent = answers.written.get(number)
        failed = client.results[number] != Fault.NONE.name
        if failed and sent is not None:
            right = next((k for k, value in enumerate(sent) if not value), len(sent))
            lines[right:] = [0] * (len(lines) - right)
        if sent != lines and not (failed and sent is None):
            raise AssertionError(f"transfer {number}, {client.results[number]}: sent {sent}")


@cocotb.test()
async def bench(dut: Any) -> None:
    """Ask for all transfers, give all lines, and judge everything that comes."""
    a = arguments()
    config, transfers = from_dict(a["config"]), a["transfers"]
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=4 * a["limit"] + 400)
    answers = Answers(
        tb,
        config,
        [t["plan"] for t in transfers],
        epoch=a["epoch"],
        limit=a["limit"],
        delay=a["delay"],
    )
    client = Client(config, a)
    ask, lines = (
        tb.source("transfer__request", TRANSFER),
        tb.source("transfer__give", line_layout(config.lxe.side)),
    )

    def gave(beat: int, cycle: int) -> None:
        client.given += 1

    lines.on_beat = gave
    ask.on_beat = lambda beat, cycle: client.begin()
    ask.send_all({k: t[k] for k in ("write", "address", "lines")} for t in transfers)
    for t in transfers:
        if t["write"]:
            lines.send_packed(line(config, t["address"] + k) for k in range(t["lines"]))
    for tag in a["stale"]:
        answers.stray(tag)
    tb.set(limit=a["limit"] if a["timed"] else 0, epoch=a["epoch"])
    await tb.reset()
    unknown, cycle, at, came = 0, 0, [], []
    while len(client.results) < len(transfers) or answers.owes:
        await RisingEdge(dut.clk)
        cycle += 1
        answers.step()
        dead = any(first <= cycle < last for first, last in a["dead"])
        for sink in (answers.request, answers.send):
            sink.stall = 1.0 if dead else a["stall"]
        unknown += tb.get("unknown")
        result, arrived = tb.get("transfer__result"), tb.get("transfer__line")
        if arrived & 1:
            came.append(cycle)
            client.take(arrived >> 1)
        if result & 1:
            at.append(cycle)
            client.end(Fault(result >> 1 & (1 << FAULT) - 1).name)
    await tb.finish(60)
    check_written(config, transfers, client, answers)
    sent = sum(len(packet) for packet in answers.written.values())
    counted = {name: tb.get(name) for name in ("requests", "fetched", "sent")}
    expected = {"requests": len(answers.asked), "fetched": len(came), "sent": sent}
    if counted != expected:
        raise AssertionError(f"counters: {counted}, should be {expected}")
    give(results=client.results, at=at, lines=came, sends=answers.sends, unknown=unknown, **counted)
