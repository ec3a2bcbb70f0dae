"""The HCU's utilisation: compares a cycle over the peak of its lanes."""

import random
from dataclasses import asdict

from amaranth.back import verilog

from vrex_hw.config import Config
from vrex_hw.hcu import HCU
from vrex_sim import runner
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
    result = runner.run(
        verilog.convert(HCU(hcu), name="hcu"),
        "hcu",
        "vrex_sim.benches.hcu",
        {
            "config": asdict(hcu),
            "seed": seed,
            "sessions": [{"registers": asdict(registers), "packets": packets}],
        },
    )
    cycles = result["trailers"][-1] - result["trailers"][0]
    return sum(compares[1:]) * hcu.phases / (hcu.accumulators * cycles)
