"""The register map of the core (our decision): settings of a run, and a job made of registers."""

from collections.abc import Iterator

from amaranth.lib import data

from vrex.params import Params
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import DESCRIPTOR
from vrex_hw.kvmu.regions import Regions
from vrex_hw.registers.kvpu import COUNTERS as UNITS
from vrex_hw.registers.kvpu import job_parameters
from vrex_hw.registers.model import (
    MAGIC,
    VERSION,
    Access,
    Bit,
    Fields,
    Register,
    RegisterMap,
    block,
    flags,
    settings,
)

COMMANDS = (
    Bit("start", "queue the job that the job registers describe"),
    Bit("clear_counters", "set every counter to 0"),
)
FAULTS = (
    Bit("dropped", "start came while the queue was full: no job was made", True),
    Bit("failed", "a job has ended with a fault: its status says which", True),
    Bit("ring_failed", "a job of the ring could not be read, or a status not be written", True),
    Bit("link_unknown", "the host link gave what nobody had asked for; it was dropped", True),
    Bit("nonfinite_hash", "a hash command saw a NaN or an infinity", True),
    Bit("nonfinite_score", "a score was not finite", True),
    Bit("nonfinite_attend", "an attention output is a NaN", True),
    Bit("nonfinite_mean", "a mean key has a NaN", True),
)
STATUS = (
    Bit("busy", "a job is queued or runs"),
    Bit("full", "the queue of jobs is full: a start now would be dropped"),
    Bit("done", "a job has ended", True),
    *FAULTS,
)
JOB = (*(name for name, _ in DESCRIPTOR if name not in ("text", "padding")), "text")
"""Registers that make a job, by the names of the descriptor's fields; ``text``, which came later,
is the last, so that the others stay where they were."""
COUNTERS = (
    *UNITS,
    ("jobs", "jobs that have ended"),
    ("jobs_failed", "of these, with a fault"),
    ("clusters_chosen", "clusters that WiCSum chose"),
    ("clusters_hit", "of these, resident already"),
    ("tokens_chosen", "their tokens"),
    ("tokens_fetched", "tokens brought from the host"),
    ("link_requests", "requests to the host link, both ways"),
    ("link_lines_in", "lines that came from the host"),
    ("link_lines_out", "lines that went there"),
    ("tokens_stored", "tokens put into window slots"),
    ("clusters_sealed", "clusters that were sealed"),
    ("retriever_busy", "cycles in which the retriever had a job"),
    ("storer_busy", "cycles in which the storer had a job"),
    ("memory_beats_in", "beats read from device memory"),
    ("memory_beats_out", "beats written to it"),
)
IDENTITY = (
    ("magic", "0x56524558, VREX in ASCII"),
    ("version", "of this map: major 31..16, minor 15..8, patch 7..0"),
    ("fingerprint", "of the configuration, as in the manifest"),
    ("hyperplanes", "most hash bits a token"),
    ("joinable", "greatest join_window"),
    ("longest_row", "most sealed clusters of a head"),
    ("line_bytes", "bytes of a line, in which addresses count"),
    ("slot_tokens", "greatest cluster_cap"),
    ("window_slots", "most open clusters of a head"),
    ("resident_slots", "greatest resident_room"),
    ("state_lines", "lines of a head's state"),
    ("transient_lines", "lines of the transient area"),
    ("queue_depth", "jobs that wait in the core"),
)


def constants(config: Config) -> dict[str, int]:
    """Return the value of every read-only constant register for ``config``."""
    regions = Regions(config)
    return {
        "magic": MAGIC,
        "version": VERSION,
        "fingerprint": config.fingerprint,
        "hyperplanes": config.hcu.hyperplanes,
        "joinable": config.hcu.joinable,
        "longest_row": config.wtu.entries,
        "line_bytes": regions.line_bytes,
        "slot_tokens": config.kvmu.slot_tokens,
        "window_slots": config.kvmu.window_slots,
        "resident_slots": config.kvmu.resident_slots,
        "state_lines": regions.state_lines,
        "transient_lines": regions.transient_lines,
        "queue_depth": config.kvmu.jobs,
    }


def _run_settings() -> Fields:
    """Yield what all jobs of a run share."""
    text = Params().at(text=True)
    yield "n_sinks", 16, 4, "first tokens of a stream that are in no cluster, slot_tokens at most"
    yield "dimension", 16, 128, "head dimension d"
    yield "n_hyperplanes", 7, 32, "hash bits a token"
    yield "scale_score", 32, 0x3DB504F3, "factor of a score, float32: 1 / sqrt(d)"
    yield "scale_attend", 32, 0x3E0293EE, "factor of a logit, float32: log2(e) / sqrt(d)"
    yield "score_map", 2, 0, "0 exp, 1 shift_min, 2 relu"
    yield "score_temperature", 4, 0, "its exponent, -4 to 4, two's complement"
    yield "policy", 1, 1, "which resident clusters give way: 0 LRU, 1 frequency"
    yield "resident_room", 13, 0, "resident slots that a head may use, RESIDENT_SLOTS at most"
    yield "planes", 32, 0, "line of the hyperplanes: tile by tile, chunk by chunk"
    yield "transient", 32, 0, "first line of the transient area, of TRANSIENT_LINES"
    yield "link_limit", 32, 0, "cycles that a request to the host link may take; 0: any"
    yield "link_epoch", 16, 0, "where tags of requests begin: unlike before, after a reset"
    yield "ring", 32, 0, "first line of the ring of jobs: 64 bytes each, whole lines"
    yield "ring_log2", 4, 0, "log2 of its jobs"
    yield "ring_tail", 16, 0, "jobs put into the ring so far, modulo 2^16: writing it starts them"
    yield "statuses", 32, 0, "first line of the ring of statuses: a line a job, 2^ring_log2"
    yield "write_statuses", 1, 0, "1: write a job's status there when it has ended"
    yield "text_k_min", 16, text.k_min, "k_min of jobs whose text is 1"
    yield "text_k_max", 16, text.k_max_fixed, "k_max of jobs whose text is 1"


def _job_settings() -> Fields:
    for name in JOB:
        field = DESCRIPTOR[name]
        yield f"job_{name}", data.Field(field.shape, 0).width, 0, "of the job that start queues"


def _registers() -> Iterator[Register]:
    yield from block(0x000, Access.CONSTANT, IDENTITY)
    yield from settings(0x040, job_parameters())
    yield flags("command", 0x0C0, Access.COMMAND, COMMANDS, "starts a job")
    yield flags("status", 0x0C4, Access.STATUS, STATUS, "what goes on and what went wrong")
    masked = "the irq port is high while status & interrupt_enable is not 0"
    yield Register("interrupt_enable", 0x0C8, Access.SETTING, masked, len(STATUS))
    yield from settings(0x100, _run_settings())
    yield from settings(0x180, _job_settings())
    ended = "of the job that ended last: its id in bits 15..0, its fault in 19..16"
    yield Register("last_status", 0x1F8, Access.VALUE, ended)
    yield Register("jobs_ended", 0x1FC, Access.VALUE, "jobs that have ended, modulo 2^32")
    yield from block(0x200, Access.COUNTER, COUNTERS)


NOTES = """A job is a frame of one KV head of one layer (docs/core.md). It is queued by writing 1 to
`command.start`, made of the `job_` registers, or by putting its descriptor into the ring in
memory and writing `ring_tail`. The settings may be written while no job is queued or runs."""
CORE = RegisterMap(unit="core", registers=tuple(_registers()), constants=constants, notes=NOTES)
"""The registers of the core."""
