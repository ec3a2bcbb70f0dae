"""Bench of the retriever: jobs one after another on one head's map.

Arguments: ``config``, ``seed``, ``idle``, ``stall`` (streams, the host and memory), ``latency``
(most cycles of the host and of memory), ``jobs``: ``job`` (its fields; ``used`` is what the job
before gave back unless it is named), ``entries`` (written into the map before: number and fields),
``selected``, ``error`` (of the trailer), ``host`` and ``memory`` (what fails, or None).

Gives back for each job ``done``, ``segments``, ``requests``, ``writes`` (line numbers; data in
``landed`` as hexadecimal text), ``map`` (every entry, packed, as hexadecimal text), ``counters``,
``cycles``, ``used`` as the job had it.
"""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from vrex_hw.config import from_dict
from vrex_hw.kvmu.layouts import SEGMENT
from vrex_hw.kvmu.retriever import COUNTERS, DONE, JOB
from vrex_hw.kvpu.reader import UNION
from vrex_sim.benches.retriever_players import Host, MapRam, Memory
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give


async def serve(dut: Any, players: list[Any]) -> None:
    """Serve every rising edge."""
    edge = RisingEdge(dut.clk)
    while True:
        await edge
        for player in players:
            player.step()


def taken(sink: Sink) -> list[Any]:
    """Return the beats that have come, without waiting."""
    beats: list[int] = []
    while sink.pending:
        beats.append(sink.packer.unpack(sink._beats.popleft()[0]))
    return beats


@cocotb.test()
async def retriever(dut: Any) -> None:
    """Run all jobs."""
    a = arguments()
    config = from_dict(a["config"])
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=6_000)
    job, selected = tb.source("job", JOB), tb.source("selected", UNION)
    segment, done = tb.sink("segment", SEGMENT), tb.sink("done", DONE)
    ram = MapRam(dut, config)
    host = Host(tb, config, a["stall"], a["latency"])
    memory = Memory(tb, config, a["stall"], a["latency"])
    tb.set(map__data=0, transfer__line=0, transfer__result=0, write__done=0)
    dut.transfer__give__ready.value = 0
    await tb.reset()
    cocotb.start_soon(serve(dut, [ram, host, memory]))
    results, used = [], 0
    for one in a["jobs"]:
        for number, fields in one["entries"]:
            ram.put(number, fields)
        host.begin(one["host"])
        memory.begin(one["memory"])
        fields = {"used": used, **one["job"]}
        began = tb.cycle
        job.send(fields)
        selected.send_all({"number": number} for number in one["selected"])
        selected.send({"number": len(one["selected"]), "error": one["error"], "last": 1})
        end = await done.beat()
        used = end["used"]
        assert host.idle and memory.idle, "done before everything has ended"
        results.append(
            {
                "done": [end["fault"], end["used"]],
                "used": fields["used"],
                "segments": [list(beat.values()) for beat in taken(segment)],
                "requests": host.asked,
                "writes": [address for address, _ in memory.writes],
                "landed": [f"{data:x}" for _, data in memory.writes],
                "map": [f"{entry:x}" for entry in ram.entries],
                "counters": [tb.get(name) for name in COUNTERS],
                "cycles": tb.cycle - began,
            }
        )
    assert host.writes == 0 and tb.get("transfer__give__valid") == 0, "it writes to the host"
    await tb.finish()
    give(jobs=results)
