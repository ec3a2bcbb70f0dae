"""HCU: the ring of open clusters over consecutive jobs, and no deadlock."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed

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
FIRST = {"first_index": 6, "tokens": 1, "base": 5, "entries": 1, "resume": 0}
FIRST_ENTRY = {"hash": 0, "first": 5, "count": 1}
FIRST_TOKEN = {"bits": 1}
"""A job to go before: its token joins the entry or not, as the threshold has it."""


def ring(
    make: Callable[[HCUConfig], Any] = HCU,
    config: HCUConfig = SIZES,
    *,
    tokens: int,
    entries: int,
    follows: bool = False,
    cycles: int,
) -> Module:
    """Send a job of any content, or one that the unit has to refuse.

    It has up to ``tokens`` tokens and ``entries`` table entries (3 or fewer) of any content; base
    and indices lie near 0 on either side, thresholds and windows are below 8. If it ``follows``,
    the job :data:`FIRST` goes before it without a pause, and it may resume that one. Every job
    has to be answered within ``cycles``.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit = make(config)
    any_constant(m, unit.hamming_threshold, 3)
    for port in (unit.join_window, unit.cluster_cap, unit.recent_window):
        any_constant(m, port, 3)
    drain(m, unit.assign, 0)
    last = Signal(JOB)
    any_constant(m, last.first_index, NEAR)
    any_constant(m, last.base, NEAR)
    any_constant(m, last.tokens, 2)
    any_constant(m, last.entries, 2)
    any_constant(m, last.resume)
    given(m, (last.tokens <= tokens) & (last.entries <= entries))
    jobs = [JOB.const(FIRST), last] if follows else [last]
    _feed(m, unit, jobs, tokens + 1, entries + 1)
    packets = Packets(m, unit, config, jobs, tokens)
    packets.claim(m)
    within(m, cycles, packets.answered == len(jobs), "every job is answered in time: no deadlock")
    packets.cover(m, tokens)
    return m


def _feed(m: Module, unit: Any, jobs: list[Any], tokens: int, entries: int) -> None:
    """Offer jobs, table and tokens all the time; see that it takes as many as the jobs say."""
    follows = len(jobs) > 1
    sent = counter(m, taken(unit.job), len(jobs))
    read = counter(m, taken(unit.table), entries + 1)
    hashed = counter(m, taken(unit.hash), tokens + 1)
    m.d.comb += [
        unit.job.valid.eq(sent != len(jobs)),
        unit.job.payload.eq(Array(Value.cast(job) for job in jobs)[sent]),
        unit.table.valid.eq(1),
        unit.hash.valid.eq(1),
    ]
    table, token = Signal.like(unit.table.payload), Signal.like(unit.hash.payload)
    any_sequence(m, table.hash)
    any_sequence(m, table.first, NEAR)
    any_sequence(m, table.count, 2)
    any_sequence(m, token)
    m.d.comb += [unit.table.payload.eq(table), unit.hash.payload.eq(token)]
    if follows:
        with m.If(read == 0):
            m.d.comb += unit.table.payload.eq(table.shape().const(FIRST_ENTRY))
        with m.If(hashed == 0):
            m.d.comb += unit.hash.payload.eq(token.shape().const(FIRST_TOKEN))
    answers = counter(m, taken(unit.assign) & unit.assign.payload.last, len(jobs))
    exact = (read == total([Mux(job.resume, 0, job.entries) for job in jobs])) & (
        hashed == total([job.tokens for job in jobs])
    )
    done = answers == len(jobs)
    always(m, ~done | exact, "it takes as many entries and tokens as the jobs say")


class Packets:
    """What the jobs allow the assignments to be, packet after packet."""

    def __init__(
        self, m: Module, unit: Any, config: HCUConfig, jobs: list[Any], tokens: int
    ) -> None:
        """Follow the packets on ``unit.assign``; a job has up to ``tokens`` tokens."""
        self._assign, out = unit.assign, unit.assign.payload
        self.answered = counter(m, taken(unit.assign) & out.last, len(jobs))
        self._sent = counter(m, taken(unit.job), len(jobs))
        self._follows = len(jobs) > 1
        self._job = job = Signal(JOB)
        base, self._held = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
        self._kept_base, kept = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
        opened, self._beats = Signal(range(tokens + 2)), Signal(range(tokens + 2))
        self._clusters, self._number = Signal(NUMBER_BITS), Signal(NUMBER_BITS)
        self._refused = Signal()
        m.d.comb += [
            job.eq(Array(Value.cast(job) for job in jobs)[self.answered]),
            base.eq(Mux(job.resume, self._kept_base, job.base)),
            self._held.eq(Mux(job.resume, kept, job.entries)),
            self._clusters.eq(self._held + opened),
            self._number.eq(out.number - base),
            self._refused.eq(
                (unit.join_window > config.joinable)
                | (self._held + job.tokens > config.open)
                | (base + self._held + job.tokens > MOST_CLUSTERS)
            ),
        ]
        with m.If(taken(unit.assign)):
            m.d.sync += [self._beats.eq(self._beats + 1), opened.eq(opened + out.opened)]
            with m.If(out.last):
                m.d.sync += [self._beats.eq(0), opened.eq(0)]
                with m.If(~out.error):
                    m.d.sync += [
                        self._kept_base.eq(out.number),
                        kept.eq(self._clusters - self._number),
                    ]
        self._body, self._trailer = unit.assign.valid & ~out.last, unit.assign.valid & out.last

    def claim(self, m: Module) -> None:
        """State what holds of every beat."""
        out, body, trailer = self._assign.payload, self._body, self._trailer
        number, clusters, refused = self._number, self._clusters, self._refused
        beats = self._beats == Mux(refused, 0, self._job.tokens)
        always(m, ~self._assign.valid | (self.answered < self._sent), "no answer without a job")
        always(m, ~body | (~out.error & ~refused), "a refused job assigns nothing")
        always(m, ~body | (number < clusters + out.opened), "an assignment names an open cluster")
        always(m, ~body | ~out.opened | (number == clusters), "clusters are opened in order")
        always(m, ~trailer | beats, "a beat a token, then the trailer")
        always(m, ~trailer | (out.error == refused), "error: exactly for what it cannot hold")
        in_order = ~trailer | out.error | (number <= clusters)
        always(m, in_order, "numbers are sealed in order, none beyond those opened")

    def cover(self, m: Module, tokens: int) -> None:
        """Demand runs of every kind."""
        out, body, trailer, number = self._assign.payload, self._body, self._trailer, self._number
        reach(m, body & (number < self._held), "a token joins a cluster of the table")
        if tokens > 1:
            reach(m, body & ~out.opened & (number >= self._held), "a token joins a new cluster")
        reach(m, trailer & ~out.error & (number != 0), "a cluster is sealed")
        reach(m, trailer & out.error, "a job is refused")
        if self._follows:
            reach(m, body & self._job.resume, "a job goes on with the head before")


ONE_JOB = 54
"""Cycles in which a job of 2 tokens and 1 entry is answered, counted from the reset."""
TWO_JOBS = 60
"""The same for FIRST and a job of 1 token and 1 entry."""

PROOFS = [
    Proof(
        name="hcu-ring",
        claim="an assignment names an open cluster; numbers are opened and sealed in order; "
        "refusals; no deadlock (a job of up to 2 tokens)",
        harness=lambda: ring(tokens=2, entries=1, cycles=ONE_JOB),
        depth=ONE_JOB + 2,
        effort=110,
    ),
    Proof(
        name="hcu-next",
        claim="the same for a job that follows another without a pause: a new head, or resumed",
        harness=lambda: ring(tokens=1, entries=1, follows=True, cycles=TWO_JOBS),
        depth=TWO_JOBS + 2,
        effort=150,
    ),
]
