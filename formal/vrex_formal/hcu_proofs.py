"""HCU: the ring of open clusters over consecutive jobs, and no deadlock."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, signed

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_constant,
    any_sequence,
    counter,
    drain,
    given,
    reach,
    start,
    taken,
    total,
    within,
)
from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu import HCU
from vrex_hw.hcu.layouts import JOB

SIZES = HCUConfig(hyperplanes=2, width=2, joinable=4, open=4)
MOST_CLUSTERS = (1 << NUMBER_BITS) - 1
NEAR = signed(4)
"""Numbers and indices from 8 below the wrap to 7 above it."""


def ring(
    make: Callable[[HCUConfig], Any] = HCU,
    *,
    jobs: int,
    tokens: int,
    entries: int,
    waits: int = 0,
    cycles: int,
) -> Module:
    """Send ``jobs`` jobs back to back; each may resume the one before, or be one to refuse.

    Each has up to ``tokens`` tokens and ``entries`` table entries (3 or fewer) of any content;
    base and indices lie near 0 on either side, thresholds and windows are below 8. The sink waits
    in up to ``waits`` cycles; every job has to be answered within ``cycles``.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit = make(SIZES)
    assign, out = unit.assign, unit.assign.payload
    any_constant(m, unit.hamming_threshold, 3)
    for port in (unit.join_window, unit.cluster_cap, unit.recent_window):
        any_constant(m, port, 3)
    m.d.comb += [unit.table.valid.eq(1), unit.hash.valid.eq(1)]
    any_sequence(m, unit.table.payload.hash)
    any_sequence(m, unit.table.payload.first, NEAR)
    any_sequence(m, unit.table.payload.count, 2)
    any_sequence(m, unit.hash.payload)
    drain(m, assign, waits)

    all_jobs = [Signal(JOB, name=f"job{n}") for n in range(jobs)]
    for each in all_jobs:
        any_constant(m, each.first_index, NEAR)
        any_constant(m, each.base, NEAR)
        any_constant(m, each.tokens, 2)
        any_constant(m, each.entries, 2)
        any_constant(m, each.resume)
        given(m, (each.tokens <= tokens) & (each.entries <= entries))
    sent = counter(m, taken(unit.job), jobs)
    answered = counter(m, taken(assign) & out.last, jobs)
    job = Signal(JOB)
    m.d.comb += [
        unit.job.valid.eq(sent != jobs),
        unit.job.payload.eq(Array(all_jobs)[sent]),
        job.eq(Array(all_jobs)[answered]),
    ]

    base, held = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
    kept_base, kept = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
    opened, beats = Signal(range(tokens + 2)), Signal(range(tokens + 2))
    clusters, number = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
    refused = Signal()
    m.d.comb += [
        base.eq(Mux(job.resume, kept_base, job.base)),
        held.eq(Mux(job.resume, kept, job.entries)),
        clusters.eq(held + opened),
        number.eq(out.number - base),
        refused.eq(
            (unit.join_window > SIZES.joinable)
            | (held + job.tokens > SIZES.open)
            | (base + held + job.tokens > MOST_CLUSTERS)
        ),
    ]
    with m.If(taken(assign)):
        m.d.sync += [beats.eq(beats + 1), opened.eq(opened + out.opened)]
        with m.If(out.last):
            m.d.sync += [beats.eq(0), opened.eq(0)]
            with m.If(~out.error):
                m.d.sync += [kept_base.eq(out.number), kept.eq(clusters - number)]

    body, trailer = assign.valid & ~out.last, assign.valid & out.last
    always(m, ~assign.valid | (answered < sent), "no answer without a job")
    always(m, ~body | ~out.error & ~refused, "a refused job assigns nothing")
    always(m, ~body | (number < clusters + out.opened), "an assignment names an open cluster")
    always(m, ~body | ~out.opened | (number == clusters), "clusters are opened in order")
    always(m, ~trailer | (beats == Mux(refused, 0, job.tokens)), "a beat a token, then the trailer")
    always(m, ~trailer | (out.error == refused), "error: exactly for what the unit cannot hold")
    sealed_in_order = ~trailer | out.error | (number <= clusters)
    always(m, sealed_in_order, "numbers are sealed in order, none beyond those opened")
    read = counter(m, taken(unit.table), jobs * entries + 1)
    hashed = counter(m, taken(unit.hash), jobs * tokens + 1)
    exact = (read == total([Mux(each.resume, 0, each.entries) for each in all_jobs])) & (
        hashed == total([each.tokens for each in all_jobs])
    )
    always(m, (answered != jobs) | exact, "it takes as many entries and tokens as the jobs say")
    within(m, cycles, answered == jobs, "every job is answered in time: no deadlock")

    reach(m, body & (number < held), "a token joins a cluster of the table")
    if tokens > 1:
        reach(m, body & ~out.opened & (number >= held), "a token joins a new cluster")
    reach(m, trailer & ~refused & (number != 0), "a cluster is sealed")
    reach(m, trailer & out.error, "a job is refused")
    if jobs > 1:
        reach(m, body & job.resume & (kept_base != 0), "a job is resumed")
    return m


ONE_JOB = 54
"""Cycles in which a job of 2 tokens and 1 entry is answered, counted from the reset."""

PROOFS = [
    Proof(
        name="hcu-ring",
        claim="an assignment names an open cluster; numbers are opened and sealed in order; "
        "refusals; no deadlock (1 job, 2 tokens)",
        harness=lambda: ring(jobs=1, tokens=2, entries=1, cycles=ONE_JOB),
        depth=ONE_JOB + 2,
        effort=110,
    ),
]
