"""The HCU's utilisation: compares a cycle over the peak of its lanes."""

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.back import verilog

import resv_ref.run
from resv_ref import trace
from vrex_hw.config import Config
from vrex_hw.hcu import HCU
from vrex_sim import runner
from vrex_sim.benches import examples
from vrex_sim.benches.hcu_traffic import Cluster, Head, Registers

TOKENS = 32
HEADS = 5
THRESHOLD = 5


def hcu_utilisation(config: Config, *, heads: int = HEADS, seed: int = 1) -> float:
    """Return compares per cycle over ``accumulators / phases``, 0 to 1.

    Each of ``heads`` consecutive heads brings a table of as many joinable clusters as the ring
    holds (1,024 for ``core``), none full, and 32 tokens; the next head's table loads meanwhile.
    All cycles count from the end of the first head, whose table nothing could hide, to the end of
    the last: decisions, sealing and trailers too. Every assignment is checked.

    Raises :class:`vrex_sim.runner.BenchError` when one is wrong.
    """
    rng = random.Random(seed)
    hcu = config.hcu
    entries = min(hcu.joinable, hcu.open - TOKENS)
    registers = Registers(
        hamming_threshold=THRESHOLD,
        join_window=entries,
        cluster_cap=32,
        recent_window=entries,
    )
    packets = []
    compares = []
    for _ in range(heads):
        head = Head(
            index=entries,
            clusters=[
                Cluster(hash=rng.getrandbits(hcu.hyperplanes), first=i, count=1)
                for i in range(entries)
            ],
        )
        packets.append(
            head.packet([rng.getrandbits(hcu.hyperplanes) for _ in range(TOKENS)], registers)
        )
        compares.append(head.compares)
    ends = _run(config, registers, packets, seed)["trailers"]
    return sum(compares[1:]) * hcu.phases / (hcu.accumulators * (ends[-1] - ends[0]))


def hcu_of_trace(config: Config, trace_file: Path = examples.FIRST, *, seed: int = 1) -> float:
    """Return the same over the cycles in which the HCU is busy, for a trace in its own mode.

    Its frames' hash bits, as the exact reference has them, come without a pause, KV head after KV
    head, each with its table. ``config`` hashes with as many planes as the trace. Every
    assignment is checked.

    Raises :class:`vrex_sim.runner.BenchError` when one is wrong.
    """
    source, hcu = trace.read(trace_file), config.hcu
    hashes = resv_ref.run.run(source)[0]["hash_bits"]
    fields = ("hamming_threshold", "join_window", "cluster_cap", "recent_window")
    registers = Registers(**{name: getattr(source.params, name) for name in fields})
    heads = [Head() for _ in range(source.kv_heads)]
    packets = []
    sinks = source.params.n_sinks
    for length, bits in zip(source.frame_lengths.tolist(), hashes, strict=True):
        clustered = bits[min(sinks, length) : length].T.tolist()
        sinks -= min(sinks, length)
        packets += [head.packet(own, registers) for head, own in zip(heads, clustered, strict=True)]
    busy = _run(config, registers, packets, seed)["busy"]
    return sum(head.compares for head in heads) * hcu.phases / (hcu.accumulators * busy)


def _run(
    config: Config, registers: Registers, packets: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    return runner.run(
        verilog.convert(HCU(config.hcu), name="hcu"),
        "hcu",
        "vrex_sim.benches.hcu",
        {
            "config": asdict(config.hcu),
            "seed": seed,
            "sessions": [{"registers": asdict(registers), "packets": packets}],
        },
    )
