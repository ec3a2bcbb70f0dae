"""The behavioural host link behind the link port, over emitted Verilog."""

import functools
import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import CONFIGS
from vrex_hw.hierarchy import convert
from vrex_hw.kvmu.link_port import LinkPort
from vrex_hw.kvmu.ports import TransferSignature
from vrex_hw.models.link import Link
from vrex_hw.models.link_server import LinkFault
from vrex_sim import runner

CONFIG = CONFIGS["tiny"]
LINES = 180
INPUTS = {"latency": 20, "interval": 24, "stall": 40, "limit": 1000, "late": 1500, "fault_at": 0}


class Pair(wiring.Component):
    """Port and link, with the ports of both but for those that join them."""

    def __init__(self):
        self._port, self._link = LinkPort(CONFIG), Link(CONFIG, LINES)
        joined = ("core", "link", "transfer")
        members = {"transfer": In(TransferSignature(CONFIG))}
        for unit in (self._port, self._link):
            for name, member in unit.signature.members.items():
                if name not in joined:
                    members[name] = member
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.link = port, link = self._port, self._link
        wiring.connect(m, port.link, link.core)
        wiring.connect(m, wiring.flipped(self.transfer), port.transfer)
        for unit in (port, link):
            for name, member in unit.signature.members.items():
                if name not in self.signature.members or name == "transfer":
                    continue
                mine, inner = getattr(self, name), getattr(unit, name)
                if not member.is_port:
                    wiring.connect(m, wiring.flipped(mine), inner)
                else:
                    m.d.comb += mine.eq(inner) if member.flow is Out else inner.eq(mine)
        return m


@functools.cache
def emit():
    return convert(Pair(), "link_pair")


def line(rng):
    return rng.getrandbits(16 * CONFIG.lxe.side) | 1


def run(phases, *, seed=1, idle=0.2, reset=0):
    """Run; return what came, and the host before."""
    host = [line(random.Random(f"{seed} {k}")) for k in range(LINES)]
    given = {"config": CONFIG.to_dict(), "seed": seed, "idle": idle, "stall": 0.2, "reset": reset}
    given |= {"host": host, "phases": phases}
    return runner.run(emit(), "link_pair", "vrex_sim.benches.link_pair", given), host


def phase(rng, transfers, wait=0, **inputs):
    count = sum(t["lines"] for t in transfers if t["write"])
    give = [line(rng) for _ in range(count)]
    inputs = {**INPUTS, "epoch": rng.getrandbits(16), **inputs}
    return {"inputs": inputs, "transfers": transfers, "give": give, "wait": wait}


def transfers(rng, count, most=9):
    wanted = []
    for _ in range(count):
        lines = rng.randint(1, most)
        address = rng.choice([0, LINES - lines, rng.randint(0, LINES - lines)])
        wanted.append({"write": rng.randint(0, 1), "address": address, "lines": lines})
    return wanted


def check(phases, got, host):
    """Follow the transfers. Once one has failed, a phase's lines are no more looked at, and what
    its writes were to change may be as it was, or new, or 0.
    """
    memory = [{value} for value in host]
    for wanted, came in zip(phases, got["phases"], strict=True):
        give, lines, failed = iter(wanted["give"]), iter(came["lines"]), False
        for transfer, result in zip(wanted["transfers"], came["results"], strict=True):
            failed |= result != "NONE"
            for address in range(transfer["address"], transfer["address"] + transfer["lines"]):
                if transfer["write"]:
                    new = next(give)
                    memory[address] = memory[address] | {new, 0} if failed else {new}
                elif not failed:
                    assert next(lines) in memory[address]
        assert failed or next(lines, None) is None
    assert all(value in wanted for value, wanted in zip(got["host"], memory, strict=True))
    assert not got["broken"]


@pytest.mark.parametrize(
    "inputs",
    [{}, {"latency": 0, "interval": 0, "stall": 0}, {"stall": 200}, {"latency": 150, "limit": 0}],
)
def test_reads_and_writes(inputs):
    rng = random.Random(1)
    phases = [phase(rng, transfers(rng, 40), **inputs) for _ in range(3)]
    got, host = run(phases)
    check(phases, got, host)
    assert {result for came in got["phases"] for result in came["results"]} == {"NONE"}
    assert got["unknown"] == 0


def test_out_of_range_touches_nothing():
    rng = random.Random(2)
    places = [(LINES - 2, 3), (LINES, 1), ((1 << 32) - 2, 4), (0, LINES + 1)]
    for write in (0, 1):
        phases = [
            phase(rng, [{"write": write, "address": address, "lines": lines}])
            for address, lines in places
        ]
        got, host = run(phases)
        assert [came["results"] for came in got["phases"]] == [["LINK_ERROR"]] * len(places)
        assert got["host"] == host and not any(came["lines"] for came in got["phases"])


ENDS = {
    LinkFault.ERROR: "LINK_ERROR",
    LinkFault.LOST: "LINK_LATE",
    LinkFault.LATE: "LINK_LATE",
    LinkFault.SHORT: "LINK_SHORT",
    LinkFault.LIE: "LINK_SHORT",
    LinkFault.LONG: "LINK_SHORT",
    LinkFault.DUPLICATE: "NONE",
    LinkFault.UNKNOWN: "NONE",
}


@pytest.mark.parametrize("write", [0, 1])
@pytest.mark.parametrize("fault", ENDS)
def test_a_fault_to_order(fault, write):
    """The third request has it; then what follows is right, with late answers in its midst."""
    rng = random.Random(fault)
    wanted = [{"write": k & 1, "address": 20 * k, "lines": 2 + k} for k in range(8)]
    wanted[2]["write"] = write
    phases = [
        phase(rng, wanted, fault=fault, fault_at=3),
        phase(rng, transfers(rng, 60), limit=0),
        phase(rng, transfers(rng, 5), wait=1500),
        phase(rng, transfers(rng, 5)),
    ]
    got, host = run(phases)
    results = [came["results"] for came in got["phases"]]
    assert results[0][:3] == ["NONE", "NONE", ENDS[fault]]
    assert set(results[0][3:]) <= {"NONE", ENDS[fault]}
    assert [set(names) for names in results[1:]] == [{"NONE"}] * 3
    check(phases, got, host)
    answers = {LinkFault.DUPLICATE, LinkFault.UNKNOWN, LinkFault.LATE}
    assert fault not in answers or got["unknown"]


@pytest.mark.parametrize("cycles", [5, 11, 18, 25, 40, 60])
def test_reset_of_both(cycles):
    rng = random.Random(cycles)
    phases = [phase(rng, transfers(rng, 20), latency=3)]
    got, host = run(phases, reset=cycles)
    check(phases, got, host)
    assert set(got["phases"][0]["results"]) == {"NONE"} and got["unknown"] == 0


@pytest.mark.parametrize(
    ("lines", "latency", "interval"), [(1, 200, 24), (4, 200, 24), (32, 100, 40)]
)
def test_bandwidth(lines, latency, interval):
    """Cycles a request are as the docstring has them."""
    rng = random.Random(0)
    wanted = [{"write": 0, "address": 2 * k, "lines": lines} for k in range(60)]
    got, _ = run([phase(rng, wanted, latency=latency, interval=interval, stall=0)], idle=0)
    at = got["phases"][0]["at"]
    apart = (at[-1] - at[7]) / (len(at) - 8)
    assert apart == pytest.approx(max(lines * interval / 16 + 3, (latency + 3) / 4), rel=0.1)
