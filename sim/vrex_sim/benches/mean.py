"""Bench of the mean key: jobs and keys in, means given back.

Arguments: ``config``, the fields of a :class:`~vrex_hw.config.Config`; ``seed``, ``idle`` and
``stall``; ``jobs``, fields of the job stream; ``keys``, chunks uint16 [N, side]. Gives back
``mean`` uint16 [M, side], ``last`` [M], and the cycles in which keys were ``taken`` and means
``given``.
"""

from typing import Any

import cocotb
import numpy as np

from vrex_hw.config import from_dict
from vrex_hw.vpe.mean import job_layout, key_layout, mean_layout
from vrex_sim.drivers import Bench
from vrex_sim.exchange import arguments, give


@cocotb.test()
async def mean(dut: Any) -> None:
    """Send all jobs; take means until the last job's last."""
    a = arguments()
    config = from_dict(a["config"])
    tb = Bench(dut, seed=a["seed"], idle=a["idle"], stall=a["stall"], patience=3_000)
    job, key = tb.source("job", job_layout(config)), tb.source("key", key_layout(config))
    sink = tb.sink("mean", mean_layout(config))
    taken: list[int] = []
    key.on_beat = lambda beat, cycle: taken.append(cycle)
    job.send_all(a["jobs"])
    key.send_packed(int.from_bytes(beat.tobytes(), "little") for beat in a["keys"])
    await tb.reset()
    beats = [beat for _ in a["jobs"] for beat in await sink.packet_at()]
    await tb.finish(60)
    give(
        mean=np.array([beat["data"] for beat, _ in beats], np.uint16),
        last=np.array([beat["last"] for beat, _ in beats]),
        given=np.array([cycle for _, cycle in beats]),
        taken=np.array(taken),
    )
