"""The storer: lines stay in the regions they belong to, and streams hold."""

from typing import Any

from amaranth.hdl import Const, Module, Signal, Value

from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    any_sequence,
    constant,
    given,
    reach,
    sink,
    source,
    start,
    taken,
)
from vrex_hw.config import Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.storer import Storer
from vrex_hw.kvmu.storer.copier import Copier
from vrex_hw.kvmu.storer.recorder import Recorder
from vrex_hw.kvmu.storer.sealer import Sealer

SIZES = Config(
    head_dims=(8, 16),
    hcu=HCUConfig(hyperplanes=2, width=2, joinable=4, open=8),
    wtu=WTUConfig(lanes=4, entries=16),
    lxe=LXEConfig(side=8, rows=2, score_rows=2),
    kvmu=KVMUConfig(bus_bytes=8, slot_tokens=4, window_slots=4, resident_slots=2),
)
"""Two tiles of means, one or two chunks a key."""
REGIONS = Regions(SIZES)


def hold_job(m: Module, job: Any) -> Any:
    """Hold a job whose state is there, at a multiple of a slot's lines."""
    held = constant(m, job.shape(), "job")
    m.d.comb += job.eq(held)
    limit = Const(1 << LINE, LINE + 1)
    given(m, held.state[: REGIONS.slot_bits] == 0)
    given(m, held.state <= limit - REGIONS.state_lines)
    given(m, held.chunks_log2 <= REGIONS.chunk_bits)
    return held


def room(job: Any) -> Value:
    """Return the lines of a head's region on the host."""
    return (job.host_tokens[:8] << 1 << job.chunks_log2)[:16]


def inside(job: Any, address: Value, first: int, end: int) -> Value:
    """Return whether a line lies in a part of the state."""
    offset = (address - job.state)[:LINE]
    return (address >= job.state) & (offset >= first) & (offset < end)


def copier() -> Module:
    """Copy any lines to any places."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Copier(SIZES)
    job = hold_job(m, unit.job)
    begun = Signal()
    m.d.sync += begun.eq(1)
    source(m, unit.place)
    source(m, unit.line)
    for port in (unit.start, unit.failed):
        any_sequence(m, port)
    sink(m, unit.write, "the copier's write")
    given(m, begun | ~unit.place.valid)
    given(m, ~(unit.start & unit.write.valid))
    here, address = unit.write.valid, unit.write.p.address
    end = Const(REGIONS.resident, LINE)
    sinks = inside(job, address, REGIONS.sinks, REGIONS.window)
    window = inside(job, address, REGIONS.window, end)
    window_place = unit.place.p.window
    always(m, ~here | window_place | sinks, "copier: a sink goes to the sinks' slot")
    always(m, ~here | ~window_place | window, "copier: a token goes to the window")
    reach(m, unit.stored & window_place, "copier: a token is stored")
    return m


def recorder() -> Module:
    """Record clusters below the map's end."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Recorder(SIZES)
    job = hold_job(m, unit.job)
    begun = Signal()
    m.d.sync += begun.eq(1)
    source(m, unit.task)
    source(m, unit.mean)
    given(m, begun | ~unit.task.valid)
    given(m, unit.task.p.number < SIZES.wtu.entries)
    chunk = Signal(4)
    with m.If(taken(unit.mean)):
        m.d.sync += chunk.eq(chunk + 1)
        with m.If(unit.mean.p.last):
            m.d.sync += chunk.eq(0)
    given(m, ~unit.mean.valid | (unit.mean.p.last == (chunk == (1 << job.chunks_log2) - 1)))
    sink(m, unit.write, "the recorder's write")
    here, address, mask = unit.write.valid, unit.write.p.address, unit.write.p.mask
    counts = inside(job, address, REGIONS.counts, REGIONS.means)
    means = inside(job, address, REGIONS.means, REGIONS.sinks)
    one = (mask != 0) & ((mask & (mask - 1)[: len(mask)]) == 0)
    always(m, ~here | Value.cast(counts & one) | (means & mask.all()), "recorder: counts, means")
    always(m, ~unit.map.write.any() | unit.busy, "recorder: an entry for a task alone")
    reach(m, unit.recorded & (chunk == 1), "recorder: a mean of two chunks")
    return m


def sealer() -> Module:
    """Seal clusters with any entries, to any target."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Sealer(SIZES)
    job = hold_job(m, unit.job)
    begun, started = Signal(), Signal()
    m.d.sync += [begun.eq(1), started.eq(started | unit.start)]
    for port in (unit.start, unit.failed, unit.open.data):
        any_sequence(m, port)
    m.d.comb += unit.target.eq(constant(m, len(unit.target), "target"))
    # Small numbers: the adders are as they are, and the solver has less to do.
    for field in (job.host, job.host_tokens, job.sealed, unit.target):
        given(m, field < 64)
    given(m, job.state < 4 << REGIONS.slot_bits)
    given(m, job.offloaded <= job.host_tokens)
    given(m, ~unit.start | (begun & ~started))
    for offer in (unit.transfer, unit.mean_job, unit.task, unit.request):
        sink(m, offer, "what the sealer offers")
    transfer, host = unit.transfer.p, room(job)
    offset = (transfer.address - job.host)[:LINE]
    fits = (transfer.address >= job.host) & (offset + transfer.lines <= host)
    always(m, ~unit.transfer.valid | (fits & transfer.write), "sealer: inside of the host's region")
    address = unit.request.p.address
    window = inside(job, address, REGIONS.window, REGIONS.resident)
    always(m, ~unit.request.valid | window, "sealer: it reads window slots alone")
    lines = (unit.task.p.count << 1 << job.chunks_log2)[:16]
    always(m, ~unit.transfer.valid | (transfer.lines != 0), "sealer: there is something to move")
    number = unit.task.p.number
    always(m, ~unit.task.valid | (number < SIZES.wtu.entries), "sealer: the map has an entry")
    both = unit.transfer.valid & unit.task.valid
    always(m, ~both | (transfer.lines == lines), "sealer: so many lines as the tokens have")
    before = Signal()
    m.d.sync += before.eq(before | taken(unit.transfer))
    reach(m, taken(unit.transfer) & before, "sealer: a second cluster")
    return m


def store() -> Module:
    """A whole storer, its memory, its link and its mean unit anything that keeps the rules."""
    m = Module()
    start(m)
    m.submodules.unit = unit = Storer(SIZES, ahead=4)
    for stream in (unit.job, unit.assign, unit.hash, unit.mean):
        source(m, stream)
    read, write, transfer = unit.read, unit.write, unit.transfer
    for stream, name in (
        (read.request, "read.request"),
        (write.request, "write.request"),
        (write.line, "write.line"),
        (transfer.request, "transfer.request"),
        (transfer.give, "transfer.give"),
        (unit.mean_job, "mean_job"),
        (unit.mean_key, "mean_key"),
        (unit.done, "done"),
    ):
        sink(m, stream, name)
    for port in (read.line, write.done, transfer.result, unit.open.data):
        any_sequence(m, port)
    # Nothing comes that was not asked for.
    lines, writes, moves = Signal(16), Signal(16), Signal(16)
    asked = Value.cast(taken(read.request)).replicate(9) & read.request.p.lines
    m.d.sync += lines.eq(lines + asked - read.line.valid)
    m.d.sync += writes.eq(writes + taken(write.request) - write.done.valid)
    m.d.sync += moves.eq(moves + taken(transfer.request) - transfer.result.valid)
    given(m, ~read.line.valid | (lines != 0))
    given(m, ~write.done.valid | (writes != 0))
    given(m, ~transfer.result.valid | (moves != 0))
    state = unit.job.p.state
    given(m, state[: REGIONS.slot_bits] == 0)
    given(m, state < 4 << REGIONS.slot_bits)
    offset = (write.request.p.address - write.base)[:LINE]
    fits = (write.request.p.address >= write.base) & (offset < write.size)
    always(m, ~write.request.valid | fits, "storer: a write is inside of what it may write")
    still = (lines == 0) & (writes == 0) & (moves == 0)
    always(m, ~unit.done.valid | still, "storer: nothing is under way when it is done")
    reach(m, taken(unit.done) & (unit.tokens_stored != 0), "storer: a token is stored")
    return m


PROOFS = [
    Proof(
        name="storer-copier",
        claim="a frame's tokens are written into the state's sinks and window, and held",
        harness=copier,
        depth=4,
        induct=True,
        cover_depth=8,
    ),
    Proof(
        name="storer-recorder",
        claim="means and counts of sealed clusters are written where they belong, and held",
        harness=recorder,
        depth=12,
    ),
    Proof(
        name="storer-sealer",
        claim="what leaves for the host stays in the head's region there, and is of the window",
        harness=sealer,
        depth=15,
        cover_depth=20,
        effort=20,
    ),
    Proof(
        name="storer",
        claim="streams hold; a write stays inside; nothing is under way when a job is done",
        harness=store,
        depth=14,
        cover_depth=24,
        effort=60,
    ),
]
