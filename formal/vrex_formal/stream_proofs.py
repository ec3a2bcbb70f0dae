"""Streams: every output of every unit holds what it offers until it is taken."""

from collections.abc import Callable

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from vrex_formal.channels import channels
from vrex_formal.proof import Proof
from vrex_formal.rules import any_constant, any_sequence, given, sink, source, start
from vrex_hw.config import Config, HCUConfig, WTUConfig
from vrex_hw.fork import Fork
from vrex_hw.hcu import HCU
from vrex_hw.kvpu.aggregator import JOB, Aggregator
from vrex_hw.kvpu.flow import RowGate
from vrex_hw.kvpu.queue import JobQueue
from vrex_hw.registers import KVPU as KVPU_MAP
from vrex_hw.registers.block import RegisterBlock
from vrex_hw.registers.kvpu import QUEUE_DEPTH
from vrex_hw.wtu import WTU
from vrex_hw.wtu.layouts import Layouts

HCU_SIZES = HCUConfig(hyperplanes=4, width=4, joinable=4, open=8)
WTU_SIZES = WTUConfig(lanes=2, entries=4, digit_bits=2, candidates=2)


def surround(unit: wiring.Component, *, steady: bool = True) -> Module:
    """Feed a unit's input streams with anything, drain the output streams at any time.

    The rule is assumed of the inputs and proved of the outputs. Its other inputs are parameters,
    held at any value; where they are not ``steady`` they change every cycle.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit
    handshakes, inputs = channels(unit)
    for channel in handshakes:
        if channel.inward:
            source(m, channel)
        else:
            sink(m, channel, channel.name)
    for port in inputs:
        (any_constant if steady else any_sequence)(m, port)
    return m


def queue() -> Module:
    """Surround a job queue; its unit finishes only jobs that it has taken."""
    unit = JobQueue(JOB, JOB, QUEUE_DEPTH)
    m = surround(unit, steady=False)
    inside = Signal(4)
    issued = unit.issue.valid & unit.issue.ready
    m.d.sync += inside.eq(inside + issued - unit.done)
    given(m, ~unit.done | (inside != 0))
    return m


def _claim(name: str) -> str:
    return f"outputs of the {name} hold their payload until it is taken"


def _for_ever(name: str, harness: Callable[[], Module]) -> Proof:
    return Proof(
        name=f"{name}-holds",
        claim=_claim(name),
        harness=harness,
        depth=3,
        induct=True,
        cover_depth=12,
    )


def _to_depth(name: str, harness: Callable[[], Module], depth: int) -> Proof:
    return Proof(
        name=f"{name}-holds",
        claim=_claim(name),
        harness=harness,
        depth=depth,
        effort=10,
    )


PROOFS = [
    _to_depth("hcu", lambda: surround(HCU(HCU_SIZES)), 36),
    _to_depth("wtu", lambda: surround(WTU(WTU_SIZES)), 32),
    _to_depth("aggregator", lambda: surround(Aggregator(WTU_SIZES)), 26),
    _for_ever("registers", lambda: surround(RegisterBlock(KVPU_MAP, Config()), steady=False)),
    _for_ever("fork", lambda: surround(Fork(JOB))),
    _for_ever("rowgate", lambda: surround(RowGate(JOB, Layouts(WTU_SIZES).selected))),
    _to_depth("jobqueue", queue, 14),
]
