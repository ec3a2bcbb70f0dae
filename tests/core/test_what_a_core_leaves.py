"""What a core leaves behind: the states of its heads, and bits that tell of NaNs."""

import numpy as np
import pytest
from core_bed import KV_HEADS, PARAMS, TINY, TOKENS, Bed, stream

from resv_ref import ReSV
from resv_ref import run as reference
from vrex_hw.kvmu.layouts import HEADER, MAP_ENTRY, OPEN_ENTRY
from vrex_sim import sizing, states
from vrex_sim.packer import Packer

STREAMS = {
    "clusters of one to three": PARAMS,
    "a cluster for each token": PARAMS.replace(hamming_threshold=0, cluster_cap=1),
    "clusters as large as a slot": PARAMS.replace(hamming_threshold=65, cluster_cap=8),
    "no sinks": PARAMS.replace(n_sinks=0),
    "nothing is sealed": PARAMS.replace(recent_window=48),
}


def unpack(layout, line, lane=0):
    """Return an entry of a line."""
    packer = Packer(layout)
    packed = int.from_bytes(line.tobytes(), "little") >> packer.width * lane
    return packer.unpack(packed & (1 << packer.width) - 1)


@pytest.mark.parametrize("params", STREAMS.values(), ids=STREAMS.keys())
def test_states_are_those_of_the_reference(system, params):
    """Headers, maps, open clusters, counts, means, sinks, window, and what went to the host."""
    frames = 12
    bed = Bed(system, params=params, frames=frames, seed=40)
    trace, _ = stream(params, frames)
    resv = ReSV(params, **sizing.arithmetic(TINY))
    for f in range(frames):
        one = reference.frame(trace, f)
        resv.store(one["k"], one["v"], one.get("k_hash"), q_heads=trace.q_heads)
    images, place = states.images(bed.place, resv), bed.place

    async def dump(where, addresses):
        packed = np.array(addresses, "<u4")[:, None].view(np.uint8)
        bed.device.send(f"{where}_dump", packed)
        return await bed.device.packets(f"{where}_dumped", len(packed))

    async def scenario():
        await bed.begin()
        for frame in range(frames):
            await bed.do(*(bed.job(frame, head) for head in range(KV_HEADS)))
        return {where: await dump(where, image["addresses"]) for where, image in images.items()}

    found = bed.run(scenario())
    assert np.array_equal(found["link"], images["link"]["lines"])
    assert len(found["link"]) > 0 or params.recent_window == 48
    memory = {
        int(address): lines
        for address, *lines in zip(
            images["memory"]["addresses"],
            found["memory"],
            images["memory"]["lines"],
            strict=True,
        )
    }
    for head, table in enumerate(resv.tables):
        check_table(place, place.state(head), table, memory)
        data = {a for a in memory if place.regions.means <= a - place.state(head)}
        data &= set(range(place.state(head), place.state(head) + place.state_stride))
        assert len(data) >= 2 * place.chunks * (
            frames * TOKENS - sum(map(len, table.members[: table.sealed]))
        )
        for address in data:
            mine, wanted = memory[address]
            assert np.array_equal(mine, wanted), address - place.state(head)


def check_table(place, at, table, memory):
    """Compare what means something of a head's table; what is resident depends on the past."""
    regions = place.regions
    mine, wanted = (unpack(HEADER, line) for line in memory[at])
    assert {**mine, "used": 0} == wanted
    for number in range(table.sealed):
        word, lane = divmod(number, regions.map_lanes)
        mine, wanted = (unpack(MAP_ENTRY, line, lane) for line in memory[at + regions.map + word])
        assert [mine[n] for n in ("offset", "count")] == [wanted[n] for n in ("offset", "count")]
        tile, row = divmod(number, place.config.lxe.side)
        mine, wanted = (line.view("<u2")[row] for line in memory[at + regions.counts + tile])
        assert mine == wanted
    for number in range(table.sealed, len(table)):
        slot = number % place.config.kvmu.window_slots
        word, lane = divmod(slot, regions.open_lanes)
        mine, wanted = (unpack(OPEN_ENTRY, line, lane) for line in memory[at + regions.open + word])
        assert mine == wanted, number


@pytest.mark.parametrize("room", [0, 3])
def test_a_status_tells_what_was_chosen_and_fetched(system, room):
    """Of its own job: clusters, the resident ones of them, the tokens that came from the host."""
    bed = Bed(system, room=room, seed=42)
    selected, counts = bed.tensors["selected"], bed.tensors["counts"]

    async def scenario():
        await bed.begin()
        hits = 0
        for frame in range(12):
            await bed.ring(*(bed.job(frame, head) for head in range(KV_HEADS)))
            for head, status in enumerate(await bed.ends()):
                chosen = selected[frame, head]
                assert status["chosen"] == int(chosen.sum())
                tokens = int(counts[frame, head][chosen].sum())
                assert status["fetched"] <= tokens - status["hits"]
                assert room or (status["hits"] == 0 and status["fetched"] == tokens)
                assert (status["fetched"] == tokens) == (status["hits"] == 0)
                hits += status["hits"]
        assert hits == await bed.read("clusters_hit")
        assert int(selected.sum()) == await bed.read("clusters_chosen")
        assert bool(hits) == bool(room)

    bed.run(scenario())


NAN, INFINITY = 0x7FC0, 0x7F80
TOLD = {
    "hash keys": ("k_hash", INFINITY, {"nonfinite_hash"}),
    "hash keys that are no numbers": ("k_hash", NAN, {"nonfinite_hash"}),
    "queries that score": ("q_score", NAN, {"nonfinite_score"}),
    "queries that score, too large": ("q_score", INFINITY, {"nonfinite_score"}),
    "queries": ("q", NAN, {"nonfinite_attend"}),
    "values": ("v", NAN, {"nonfinite_attend"}),
    "keys": ("k", NAN, {"nonfinite_attend"}),
}


@pytest.mark.parametrize(("name", "bits", "told"), TOLD.values(), ids=TOLD.keys())
def test_numbers_that_are_none_are_told(system, name, bits, told):
    """In one element of head 0: its bit is set, no other; cleared, it stays so; head 1 is right.

    A key's mean is told when its cluster is sealed, and the scores that it spoils from then on.
    """
    bed = Bed(system, seed=41)
    frame = 8

    async def scenario():
        await bed.begin()
        for before in range(frame):
            await bed.do(*(bed.job(before, head) for head in range(KV_HEADS)))
        assert await bed.flags() == {"done"}
        job = bed.job(frame, 0)
        stride = job["kv_stride" if name in ("k", "v", "k_hash") else "q_stride"]
        line = job[name] + 2 * stride + 1
        spoilt = await bed.host.dump(line, 1)
        spoilt = spoilt.copy()
        spoilt.view("<u2")[0, 3] = bits
        bed.host.put(line, spoilt)
        await bed.device.drained("memory_load")
        assert await bed.faults(job) == [0]
        bed.forget(job)
        assert await bed.flags() == {"done"} | told
        await bed.clear(*told)
        await bed.frames(1, frame, frame + 1)
        assert await bed.flags() == {"done"}
        if name != "k":
            return
        later = set()
        for after in range(frame + 1, 12):
            assert await bed.faults(bed.job(after, 0)) == [0]
            bed.forget(bed.job(after, 0))
            later |= await bed.flags()
            if "nonfinite_score" in later:
                assert "nonfinite_mean" in later
        assert later >= {"nonfinite_attend", "nonfinite_mean"}
        await bed.clear(*later - {"done"})
        await bed.frames(1, frame + 2)
        assert await bed.flags() == {"done"}

    bed.run(scenario())
