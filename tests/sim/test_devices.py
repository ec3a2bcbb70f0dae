"""Both devices, compiled and under cocotb, on a doubler that breaks the protocol on request.

What each says is wrong, and in which cycle, must be the same.
"""

import dataclasses
import re
from pathlib import Path

import pytest

from vrex import HardwareError
from vrex_sim import ports, runner
from vrex_sim.compiled import CompiledDevice

HERE = Path(__file__).parent
VALUES = [*range(1, 40), 0]
CHANCES = {"seed": 3, "idle": 0.3, "stall": 0.4, "patience": 300}


@pytest.fixture
def doubler(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import doubler

    return doubler


def compiled(text, fault, wanted):
    from doubler_host import exchange

    device = CompiledDevice(text, "doubler", **CHANCES)
    device.set("fault", fault)
    out = device.run(exchange(device, VALUES, wanted))
    return {"out": out, "cycle": device.cycle}


def under_cocotb(text, fault, wanted):
    found = [list(dataclasses.astuple(port)) for port in ports.read(text, "doubler")]
    given = {"ports": found, "fault": fault, "values": VALUES, "wanted": wanted}
    return runner.run(text, "doubler", HERE / "device_bench.py", {**given, "chances": CHANCES})


def test_beats_come_through_in_the_same_cycles(doubler):
    one, other = (run(doubler.emit(), 0, len(VALUES)) for run in (compiled, under_cocotb))
    assert one["out"] == [2 * value for value in VALUES]
    assert one == other


FAULTS = {
    "valid falls": ("DROPS_VALID", 0, r"stream o, cycle \d+: valid fell before"),
    "payload changes": ("CHANGES_PAYLOAD", 0, r"stream o, cycle \d+: the payload changed"),
    "a beat is swallowed": ("SWALLOWS", 0, r"cycle \d+: no stream moved for 300 cycles"),
    "nothing is taken": ("DEAF", 0, r"cycle \d+: no stream moved for 300 cycles; pending: i 40"),
    "a beat too many": ("REPEATS", 0, r"cycle \d+: beats are left over: o 1"),
    "a beat that nobody reads": ("NONE", -1, r"cycle \d+: beats are left over: o 1"),
    "beats that nobody took": ("DEAF", -40, r"beats are left over: i 40"),
}
"""What the device does, how many beats fewer the host reads, and what must be said."""


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_told(doubler, name):
    fault, fewer, says = FAULTS[name]
    told = []
    for run in (compiled, under_cocotb):
        with pytest.raises(HardwareError, match=says) as caught:
            run(doubler.emit(), doubler.Fault[fault].value, len(VALUES) + fewer)
        told.append(re.search(says, str(caught.value))[0])
    assert told[0] == told[1]
