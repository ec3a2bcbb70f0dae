"""The runner, the drivers and the comparison, on a device that misbehaves on request."""

import random
import re
from pathlib import Path

import pytest

from vrex_sim import runner, waves

HERE = Path(__file__).parent


@pytest.fixture
def doubler(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import doubler

    return doubler


def run(doubler, fault="NONE", *, idle=0.3, stall=0.3, check=True, seed=1):
    beats = [*random.Random(seed).sample(range(1, 65536), 200), 77, 5, 0]
    arguments = {"beats": beats, "idle": idle, "stall": stall, "check": check, "seed": seed}
    arguments["fault"] = doubler.Fault[fault].value
    return beats, runner.run(doubler.emit(), "doubler", HERE / "doubler_bench.py", arguments)


@pytest.mark.parametrize(
    ("idle", "stall", "seed"), [(0, 0, 1), (0.5, 0, 2), (0, 0.5, 3), (0.6, 0.7, 4)]
)
def test_beats_come_through_whole(doubler, idle, stall, seed):
    beats, result = run(doubler, idle=idle, stall=stall, seed=seed)
    assert [b["value"] for b in result["out"]] == [2 * v for v in beats]
    assert [b["pair"] for b in result["out"]] == [[v & 3, 1] for v in beats]
    assert {b["wide"] for b in result["out"]} == {(1 << 60) - 1}
    if not idle and not stall:
        assert result["cycles"] <= len(beats) + 5, "a source and a sink must move a beat a cycle"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("DROPS_VALID", r"stream o, cycle \d+: valid fell before the beat was taken"),
        ("CHANGES_PAYLOAD", r"stream o, cycle \d+: the payload changed from 0x\w+ to 0x\w+"),
        ("SWALLOWS", r"no stream moved for 500 cycles; pending: o 0|pending: nothing"),
    ],
)
def test_protocol_violations_are_caught(doubler, fault, says):
    with pytest.raises(runner.BenchError, match=says):
        run(doubler, fault)


def test_a_mismatch_names_the_place_and_leaves_a_short_waveform(doubler):
    with pytest.raises(runner.BenchError) as caught:
        run(doubler, "WRONG_VALUE")
    text = str(caught.value)
    found = re.search(r"doubler, cycle (\d+): out\[200\] is 1, expected 154", text)
    assert found, text
    path = Path(re.search(r"waveform: (\S+)", text)[1])
    vcd = path.read_text()
    times = [int(t) for t in re.findall(r"^#(\d+)", vcd, re.M)]
    assert times == sorted(times)
    assert 0 < times[-1] - times[0] <= (waves.BEFORE + waves.AFTER) * waves.PERIOD
    assert len(times) >= waves.BEFORE + waves.AFTER
    assert "o__payload" in vcd
    cycle = int(found[1])
    window = waves.Window.read(path.parent / waves.FAILURE)
    assert window.first_cycle == cycle - waves.BEFORE
    assert value_before(vcd, "o__payload", window.origin + cycle * waves.PERIOD) & 0x1FFFF == 1
    assert value_before(vcd, "o__valid", window.origin + cycle * waves.PERIOD) == 1


def value_before(vcd, name, time):
    """Return what the port holds just before ``time``."""
    symbol = re.search(rf"\$var wire +\d+ (\S+) {name} ", vcd)[1]
    body, value, now = vcd.partition("$enddefinitions")[2], None, 0
    for line in body.splitlines():
        if line.startswith("#"):
            now = int(line[1:])
        elif now < time and re.fullmatch(rf"(b[01]+ |[01]){re.escape(symbol)}", line):
            value = int(line.removeprefix("b").removesuffix(symbol), 2)
    return value
