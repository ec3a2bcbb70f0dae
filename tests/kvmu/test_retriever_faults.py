"""What goes wrong with a job: the fault is told, what did not come is not kept, and on it goes."""

import random

import pytest
from retriever_jobs import HOST, Head, Job, walk

from vrex_hw.kvmu.layouts import Fault

CLUSTERS = [8, 3, 1, 8, 8, 5, 2, 8, 1, 4, 8, 8]
ALL = list(range(len(CLUSTERS)))
AFTER = [Job(ALL[::3]), Job(ALL, room=8), Job([])]
"""Jobs that have to go well afterwards."""


@pytest.mark.parametrize("fault", [Fault.LINK_ERROR, Fault.LINK_SHORT, Fault.LINK_LATE])
@pytest.mark.parametrize("lines", [0, 5, 999])
def test_a_request_fails(fault, lines):
    """The first, one in the middle and the last; before, amid and after its lines."""
    jobs = []
    for request in (0, 2, 4):
        jobs.append(Job(ALL[::2], room=3, host=(request, fault, lines), fault=fault))
        jobs += [Job(ALL[1::2], room=8), Job([1, 3, 5], room=2)]
    jobs[0].new = CLUSTERS
    Head(seed=lines + fault).run([*jobs, *AFTER])


@pytest.mark.parametrize("write", [0, 17, 60])
def test_a_write_fails(write):
    """Memory answers with an error, or says that the write leaves its area."""
    jobs = []
    for how, fault in (("error", Fault.MEMORY_WRITE), ("outside", Fault.OUT_OF_BOUNDS)):
        jobs.append(Job(ALL, room=4, memory=(write, how), fault=fault))
        jobs.append(Job(ALL[2:6], room=8))
    jobs[0].new = CLUSTERS
    Head(seed=write).run([*jobs, *AFTER])


def test_write_and_request_fail_together():
    """One of the two is told."""
    jobs = []
    for number in range(4):
        failing = {"memory": (3 * number, "error"), "host": (1, Fault.LINK_ERROR, number)}
        jobs.append(Job(ALL, room=number, may_fail=True, **failing))
    jobs[0].new = CLUSTERS
    Head(seed=5).run([*jobs, *AFTER])


def test_a_refused_packet():
    """A row was too long: the map is touched, nothing is fetched."""
    jobs = [Job(ALL[:4], new=CLUSTERS), Job(ALL, error=1, fault=Fault.STATE_FULL)]
    results = Head().run([*jobs, *AFTER])
    assert results[1]["requests"] == [] and results[1]["segments"] == []


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"sealed": 65}, Fault.STATE_FULL),
        ({"sealed": 0xFFFF}, Fault.STATE_FULL),
        ({"chunks_log2": 4}, Fault.BAD_JOB),
        ({"chunks_log2": 15}, Fault.BAD_JOB),
    ],
)
def test_a_job_that_cannot_be(fields, fault):
    """Its packet is taken, the map stays as it is."""
    jobs = [Job(ALL[:4], new=CLUSTERS), Job(ALL, fields=fields, fault=fault, untouched=True)]
    assert Head().run([*jobs, *AFTER])[1]["requests"] == []


@pytest.mark.parametrize("numbers", [[12], [13], [0, 5, 63], [3, 0xFFFF], [5, 3], [9, 9, 0]])
def test_a_number_of_no_sealed_cluster(numbers):
    """Numbers past the last cluster, in its word and beyond; numbers that do not ascend."""
    chosen = [n for k, n in enumerate(numbers) if n < 12 and n == max(numbers[: k + 1])]
    jobs = [Job(ALL[:4], new=CLUSTERS), Job(chosen, packet=numbers, fault=Fault.OUT_OF_BOUNDS)]
    assert Head().run([*jobs, *AFTER])[1]["requests"] == []


@pytest.mark.parametrize("reach", [0, 7, 10, 12, 55])
def test_a_cluster_outside_of_the_region(reach):
    """The host's region ends amid a cluster or before it: what lies inside is asked for at most."""
    jobs = [Job(ALL, new=CLUSTERS, fault=Fault.OUT_OF_BOUNDS), Job(ALL, fault=Fault.OUT_OF_BOUNDS)]
    for result in Head(host_tokens=reach, seed=reach).run(jobs):
        assert all(first + lines <= HOST + 2 * reach for first, lines in result["requests"])


@pytest.mark.parametrize(
    "entry",
    [
        {"offset": 12, "count": 0},
        {"offset": 12, "count": 9},
        {"offset": 12, "count": 511},
        {"offset": 0xFFFF_FFFF, "count": 8},
        {"offset": 12, "count": 8, "resident": 1, "slot": 8},
        {"offset": 12, "count": 8, "resident": 1, "slot": 4095},
    ],
)
def test_a_map_that_cannot_be(entry):
    """A count of no slot, an offset outside of the host, a slot that there is not."""
    jobs = [
        Job(ALL[:3], new=CLUSTERS),
        Job(ALL, entries=[(3, entry)], fault=Fault.OUT_OF_BOUNDS),
        Job([0, 1, 5]),
    ]
    Head(seed=2).run(jobs)


def test_a_victim_in_a_slot_that_there_is_not():
    """Nothing lands in the slot of such a victim."""
    bad = {"offset": 12, "count": 8, "resident": 1, "slot": 8}
    jobs = [
        Job(ALL[:2], new=CLUSTERS, room=2),
        Job([6, 7], room=2, entries=[(3, bad)], fault=Fault.OUT_OF_BOUNDS),
    ]
    results = Head().run(jobs)
    assert results[1]["segments"] == []


def test_faults_at_random():
    """Jobs of a stream, some of which fail in one way or another: those between go well."""
    rng = random.Random(11)
    jobs = list(walk(rng, 40, cap=8))
    for job in jobs:
        if rng.random() < 0.4 and job.selected:
            ways = [("host", (rng.randrange(4), Fault.LINK_ERROR, rng.randrange(40)))]
            ways.append(("memory", (rng.randrange(60), rng.choice(["error", "outside"]))))
            setattr(job, *rng.choice(ways))
            job.may_fail = True
    results = Head(seed=4).run(jobs)
    assert sum(result["done"][0] != 0 for result in results) > 5
