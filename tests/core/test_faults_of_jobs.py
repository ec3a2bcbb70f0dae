"""Every fault that a host can meet: a status tells it, and the jobs after it are right."""

import numpy as np
import pytest
from core_bed import KV_HEADS, PARAMS, TINY, Bed

from vrex_hw.kvmu.layouts import Fault
from vrex_hw.models.link_server import LinkFault

FIELDS = {
    "no token": {"tokens": 0},
    "no query head": {"group": 0},
    "65,536 rows": {"tokens": 1 << 15, "group": 2},
    "rows beyond 2^16, few in 16 bits": {"tokens": (1 << 15) + 1, "group": 2},
    "a state that begins within a slot": {"state": 1},
    "a state that begins in the middle of one": {"state": 64},
}
SETTINGS = {
    "no dimension": {"dimension": 0},
    "three chunks": {"dimension": 24},
    "a dimension beyond the largest": {"dimension": 65},
    "two chunks too many": {"dimension": 128},
    "sinks that no slot holds": {"n_sinks": TINY.kvmu.slot_tokens + 1},
    "no plane": {"n_hyperplanes": 0},
    "more planes than a token has bits": {"n_hyperplanes": TINY.hcu.hyperplanes + 1},
    "more room than slots": {"resident_room": TINY.kvmu.resident_slots + 1},
    "clusters that no slot holds": {"cluster_cap": TINY.kvmu.slot_tokens + 1},
    "a window beyond the joinable": {"join_window": TINY.hcu.joinable + 1},
}


async def refused(bed, head, jobs, fault):
    """Do jobs that end with ``fault`` and change nothing: not a line of the head's table."""
    place = bed.place
    where = place.state(head), place.regions.sinks
    before, stored = await bed.host.dump(*where), await bed.read("tokens_stored")
    assert await bed.faults(*jobs) == [fault] * len(jobs)
    await bed.check()
    assert np.array_equal(await bed.host.dump(*where), before)
    assert await bed.read("tokens_stored") == stored
    assert await bed.flags() == {"done", "failed"}
    await bed.clear("done", "failed")


def test_jobs_that_cannot_be(system):
    """Of two heads by turns: the head goes on as if they had not been there."""
    bed = Bed(system, seed=20)

    async def scenario():
        await bed.begin()
        for frame in range(3):
            await bed.do(bed.job(frame, 0), bed.job(frame, 1))
        for changes in FIELDS.values():
            plain = bed.job(3, 1)
            job = {**plain, **changes}
            if "state" in changes:
                job["state"] += plain["state"]
            await refused(bed, 1, [job], Fault.BAD_JOB)
        await refused(bed, 1, [bed.job(3, 1, tokens=0)] * 7, Fault.BAD_JOB)
        await bed.do(bed.job(3, 0), bed.job(3, 1))
        found = await bed.faults(
            bed.job(4, 0), bed.job(4, 1, group=0), bed.job(5, 0), bed.job(4, 1), bed.job(5, 1)
        )
        assert found == [0, Fault.BAD_JOB, 0, 0, 0]
        await bed.check()

    bed.run(scenario())


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_that_cannot_be(system, changes):
    bed = Bed(system, seed=21)

    async def scenario():
        await bed.begin()
        await bed.frames(1, 0, 1, 2, 3)
        await bed.write(**changes)
        await refused(bed, 1, [bed.job(4, 1)], Fault.BAD_JOB)
        await bed.host.settle(ring_tail=bed.started)
        await bed.frames(1, 4, 5)

    bed.run(scenario())


def test_settings_at_their_bounds(system):
    """What :data:`SETTINGS` has, one less, is taken."""
    bed = Bed(system, seed=22)
    bounds = {"resident_room": TINY.kvmu.resident_slots, "cluster_cap": TINY.kvmu.slot_tokens}
    bounds |= {"join_window": TINY.hcu.joinable, "n_sinks": TINY.kvmu.slot_tokens}

    async def scenario():
        await bed.begin(**bounds, n_hyperplanes=TINY.hcu.hyperplanes, dimension=64)
        assert await bed.faults(bed.job(0, 0)) == [Fault.NONE]

    bed.run(scenario())


HEADERS = {
    "busy": {"sealed": 2, "opened": 4, "tokens": 12, "offloaded": 4, "busy": 1},
    "more sealed than there are entries": {"sealed": TINY.wtu.entries + 1, "opened": 70},
    "more sealed than opened": {"sealed": 3, "opened": 2},
    "more open than the window has slots": {"sealed": 1, "opened": 2 + TINY.kvmu.window_slots},
    "65,535 open": {"opened": 65535},
}


@pytest.mark.parametrize("fields", HEADERS.values(), ids=HEADERS.keys())
def test_a_state_that_cannot_be_gone_on_with(system, fields):
    """Nothing of it is touched; the head, begun anew, and the other one are right."""
    bed = Bed(system, seed=23)

    async def scenario():
        await bed.begin()
        await bed.frames(1, 0, 1, 2, 3)
        await bed.put_header(0, **fields)
        await refused(bed, 0, [bed.job(4, 0), bed.job(5, 0)], Fault.STATE_OPEN)
        await bed.frames(1, 4)
        await bed.put_header(0)
        await bed.do(bed.job(0, 0), bed.job(5, 1), bed.job(1, 0))

    bed.run(scenario())


FULL = PARAMS.replace(hamming_threshold=0)
"""Every token opens a cluster."""


async def until_full(bed, frames, fault, *, busy, head=1):
    """Run frames of a head, the last of which ends with ``fault``; ``busy``: so it is left."""
    for frame in range(frames - 1):
        await bed.frames(head, frame)
    before = await bed.header(head)
    assert await bed.faults(bed.job(frames - 1, head)) == [fault]
    assert await bed.header(head) == {**before, "busy": int(busy)}
    await bed.check()
    again = Fault.STATE_OPEN if busy else fault
    assert await bed.faults(bed.job(frames - 1, head)) == [again]
    await bed.put_header(head)
    await bed.do(bed.job(0, 0), bed.job(0, 1), bed.job(1, 0), bed.job(1, 1))


def test_more_open_clusters_than_the_window_has(system):
    """Three sinks and 61 tokens fit the 64 slots; four more do not, and nothing is done."""
    bed = Bed(system, params=FULL.replace(recent_window=100), frames=19, seed=24)

    async def scenario():
        await bed.begin()
        await until_full(bed, 17, Fault.WINDOW_FULL, busy=False)

    bed.run(scenario())


def test_more_sealed_clusters_than_there_are_entries(system):
    """Three sinks, 64 sealed, 12 in the window: 19 frames are 76 tokens."""
    bed = Bed(system, params=FULL, frames=22, seed=25)

    async def scenario():
        await bed.begin()
        await until_full(bed, 20, Fault.STATE_FULL, busy=True)

    bed.run(scenario())


def test_a_region_on_the_host_that_is_full(system):
    """It holds 25 tokens: what lies behind it there is another head's and stays."""
    bed = Bed(system, params=FULL, frames=14, seed=26)

    async def dump(line, count):
        addresses = np.arange(line, line + count, dtype="<u4")[:, None].view(np.uint8)
        bed.device.send("link_dump", addresses)
        return await bed.device.packets("link_dumped", count)

    async def scenario():
        await bed.begin()
        at, token = bed.place.host(0), 2 * bed.place.chunks
        region = np.full((30 * token, bed.place.regions.line_bytes), 0x5A, np.uint8)
        addresses = np.arange(at, at + len(region), dtype="<u4")[:, None].view(np.uint8)
        bed.device.send("link_load", np.hstack([addresses, region]))
        await bed.device.drained("link_load")
        for frame in range(10):
            await bed.do(bed.job(frame, 0, host_tokens=25))
        assert (await bed.header(0))["offloaded"] == 25
        assert await bed.faults(bed.job(10, 0, host_tokens=25)) == [Fault.HOST_FULL]
        assert (await bed.header(0))["busy"]
        written = (await dump(at, len(region)) != 0x5A).any(1)
        assert written[: 25 * token].all() and not written[25 * token :].any()
        await bed.put_header(0)
        await bed.do(bed.job(0, 0), bed.job(0, 1), bed.job(1, 0), bed.job(1, 1))

    bed.run(scenario())


class Again:
    """Two heads that do the same frame over and over again, from the tables of before it."""

    def __init__(self, bed, frame):
        self.bed, self.frame, self.tables = bed, frame, []

    async def prepare(self):
        bed = self.bed
        await bed.begin()
        for frame in range(self.frame):
            await bed.do(bed.job(frame, 0), bed.job(frame, 1))
        table = bed.place.regions.counts
        self.tables = [await bed.host.dump(bed.place.state(h), table) for h in range(KV_HEADS)]

    async def do(self):
        """Return the faults of the frame of both heads; what is not flagged is right."""
        bed = self.bed
        for head, table in enumerate(self.tables):
            bed.host.put(bed.place.state(head), table)
        await bed.device.drained("memory_load")
        jobs = [bed.job(self.frame, head) for head in range(KV_HEADS)]
        faults = await bed.faults(*jobs, unread=True)
        await bed.check()
        return faults

    async def whole(self):
        """Return whether each head's state is whole; one that is goes on rightly."""
        bed, found = self.bed, []
        for head in range(KV_HEADS):
            header = await bed.header(head)
            found.append(not header["busy"])
            if found[-1] and header["tokens"] == 4 * self.frame + 4:
                await bed.frames(head, self.frame + 1)
        return found


@pytest.mark.parametrize("kind", ["read", "write"])
def test_each_burst_of_memory_that_fails(system, kind):
    """Of a frame of each of two heads: told by the job's status, or by a bit if it has none."""
    bed = Bed(system, pause=0.1, seed=27, room=0, memory_latency=15)
    again = Again(bed, 8)
    told = {"read": Fault.MEMORY_READ, "write": Fault.MEMORY_WRITE}[kind]
    seen = {"whole": 0, "busy": 0}

    async def one(number):
        """Return whether there was a burst of that number."""
        bed.device.set(f"memory_{kind}_fault_at", number)
        faults = await again.do()
        bed.device.set(f"memory_{kind}_fault_at", 0)
        flags = await bed.flags()
        await bed.clear("done", "failed", "ring_failed")
        if "ring_failed" in flags:
            assert faults in ([0, 0], [Fault.BAD_JOB, 0], [0, Fault.BAD_JOB])
            assert (faults == [0, 0]) == (kind == "write")
        elif "failed" not in flags:
            assert faults == [0, 0]
            return False
        else:
            assert sorted(faults) == [0, told]
        for fault, whole in zip(faults, await again.whole(), strict=True):
            assert whole or fault
            if fault == told:
                seen["whole" if whole else "busy"] += 1
        return True

    async def scenario():
        await again.prepare()
        number = 1
        while await one(number):
            number += 2 + number % 3
        return number

    last = bed.run(scenario())
    assert last > 60
    assert min(seen.values()) > 0, seen


LINK = {
    LinkFault.ERROR: Fault.LINK_ERROR,
    LinkFault.LOST: Fault.LINK_LATE,
    LinkFault.LATE: Fault.LINK_LATE,
    LinkFault.SHORT: Fault.LINK_SHORT,
    LinkFault.LIE: Fault.LINK_SHORT,
    LinkFault.LONG: Fault.LINK_SHORT,
    LinkFault.DUPLICATE: Fault.NONE,
    LinkFault.UNKNOWN: Fault.NONE,
}


@pytest.mark.parametrize("kind", LINK, ids=lambda kind: kind.name.lower())
def test_each_request_to_the_link_that_goes_wrong(system, kind):
    """A fetch: the job does not attend, its head goes on. An offload: the state stays busy."""
    bed = Bed(system, pause=0.1, seed=28, room=0, link_latency=50)
    again = Again(bed, 8)
    seen = {"whole": 0, "busy": 0}

    async def one(number):
        """Return whether there was a request of that number."""
        before = await bed.read("link_requests")
        bed.device.set("link_fault", kind)
        bed.device.set("link_fault_at", number)
        faults = await again.do()
        bed.device.set("link_fault_at", 0)
        flags, requests = await bed.flags(), await bed.read("link_requests") - before
        await bed.clear("done", "failed", "link_unknown")
        if number > requests:
            assert faults == [0, 0] and flags == {"done"}
            return False
        assert sorted(faults) == sorted([0, LINK[kind]])
        if not LINK[kind] or kind is LinkFault.LATE:
            # What comes late, twice or unasked for is dropped, and told.
            bed.device.cycles(bed.host.given["knobs"]["link_late"])
            assert "link_unknown" in flags | await bed.flags()
            await bed.clear("link_unknown")
        for fault, whole in zip(faults, await again.whole(), strict=True):
            assert whole or fault
            if fault:
                seen["whole" if whole else "busy"] += 1
        return True

    async def scenario():
        await again.prepare()
        number = 1
        while await one(number):
            number += 1
        return number

    assert bed.run(scenario()) > 4
    assert not LINK[kind] or min(seen.values()) > 0, seen


def test_a_link_that_may_take_any_time(system):
    """With a limit of 0 a late answer is waited for."""
    bed = Bed(system, seed=29, room=0, link_limit=3_000)

    async def scenario():
        await bed.begin(link_limit=0)
        bed.device.set("link_fault", LinkFault.LATE)
        for frame in range(8):
            bed.device.set("link_fault_at", 1 + frame)
            await bed.do(bed.job(frame, 0), bed.job(frame, 1))
        assert await bed.flags() == {"done"}
        assert await bed.read("link_requests") > 8

    bed.run(scenario())


def test_a_job_of_the_ring_that_cannot_be_read(system):
    """It ends as one that cannot be, the next one of the ring is read."""
    bed = Bed(system, seed=30)

    async def scenario():
        await bed.begin()
        await bed.frames(0, 0)
        bed.device.set("memory_read_fault_at", 1)
        assert await bed.faults(bed.job(1, 0), unread=True) == [Fault.BAD_JOB]
        assert await bed.flags() == {"done", "failed", "ring_failed"}
        assert not (await bed.header(0))["busy"]
        await bed.clear("failed", "ring_failed")
        await bed.frames(0, 1, 2)
        assert await bed.flags() == {"done"}

    bed.run(scenario())


def test_a_status_that_cannot_be_written(system):
    """A bit tells it; the status is told all the same, and the next one is written."""
    bed = Bed(system, seed=31)
    at = bed.place.starts["statuses"]

    async def scenario():
        await bed.begin()
        bed.host.put(at, np.zeros((2, bed.place.regions.line_bytes), np.uint8))
        await bed.device.drained("memory_load")
        bed.device.set("memory_write_fault_at", 1)
        assert await bed.faults(bed.job(0, 1, group=0)) == [Fault.BAD_JOB]
        assert await bed.flags() == {"done", "failed", "ring_failed"}
        await bed.clear("failed", "ring_failed")
        await bed.frames(0, 0)
        assert await bed.flags() == {"done"}
        assert (await bed.host.dump(at, 2)).any(1).tolist() == [False, True]

    bed.run(scenario())
