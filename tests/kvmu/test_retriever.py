"""The retriever over its emitted Verilog, job after job, against the reference."""

import random

import pytest
from retriever_jobs import Head, Job, walk

from vrex.residency import Policy


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("room", [0, 1, 5, 8])
def test_a_stream(policy, room):
    """Forty jobs with the state kept: hits, free slots, victims and transient slots."""
    jobs = list(walk(random.Random(room), 40, cap=8))
    for job in jobs:
        job.room, job.policy = room, policy
    results = Head(seed=room + 10).run(jobs)
    assert sum(len(result["requests"]) for result in results) > 20
