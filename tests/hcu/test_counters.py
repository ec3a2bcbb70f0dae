"""What the HCU's counters count."""

from dataclasses import asdict

from vrex_hw.config import CONFIGS
from vrex_sim.benches.hcu_traffic import Cluster, Head, Registers

SIZE = CONFIGS["tiny"].hcu
TOKENS = 12


def counted(simulate, **pace):
    """Run 12 tokens that each open a cluster while 16 are in reach."""
    registers = Registers(hamming_threshold=0, join_window=SIZE.joinable)
    rows = [Cluster(hash=i, first=i, count=1) for i in range(SIZE.joinable)]
    head = Head(index=len(rows), clusters=rows)
    packet = head.packet(range(TOKENS), registers)
    return head, simulate(SIZE, [{"registers": asdict(registers), "packets": [packet], **pace}])


def test_compares_are_those_with_joinable_clusters(simulate):
    head, counters = counted(simulate)
    assert counters["compares"] == head.compares == TOKENS * SIZE.joinable


def test_busy_lasts_from_the_job_to_the_trailer(simulate):
    _, counters = counted(simulate)
    assert 0 <= counters["trailers"][-1] - counters["busy"] <= 2


def test_stalls_are_told_apart(simulate):
    _, free = counted(simulate)
    _, slow_sink = counted(simulate, stall=0.97)
    _, slow_source = counted(simulate, idle=0.99)
    assert free["stalled_out"] == slow_source["stalled_out"] == 0
    assert slow_sink["stalled_out"] > 100
    assert slow_sink["stalled_in"] <= free["stalled_in"] <= 3
    assert slow_source["stalled_in"] > 1000
    assert slow_source["compares"] == free["compares"] == slow_sink["compares"]
