"""The register map of the KVPU (our decision): the one place that names an address or a bit."""

from collections.abc import Iterator

from vrex.params import Params
from vrex_hw.config import Config
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

QUEUE_DEPTH = 4
"""Jobs that each command queue holds beside those that its unit has taken."""


FAULTS = (
    Bit("cluster_dropped", "start_cluster came while its queue was full: no job was made", True),
    Bit("select_dropped", "start_select came while its queue was full: no job was made", True),
    Bit("job_refused", "the HCU refused a cluster job: its trailer has the error bit", True),
    Bit("row_too_long", "a row was longer than ENTRIES: its trailer has the error bit", True),
)
SINKS = ("s_axis_hash", "s_axis_table", "s_axis_row")
SOURCES = ("m_axis_assign", "m_axis_row", "m_axis_selected")
COMMANDS = (
    Bit("start_cluster", "queue a cluster job made of the registers as they are now"),
    Bit("start_select", "queue a select job made of the registers as they are now"),
    Bit("clear_counters", "set every counter to 0"),
)
STATUS = (
    Bit("cluster_busy", "a cluster job is queued or runs"),
    Bit("select_busy", "a select job is queued or runs"),
    Bit("cluster_full", "the queue of cluster jobs is full: a start now would be dropped"),
    Bit("select_full", "the queue of select jobs is full: a start now would be dropped"),
    Bit("cluster_done", "a cluster job's trailer has left on m_axis_assign", True),
    Bit("select_done", "a select job's trailer has left on m_axis_selected", True),
    *FAULTS,
    *(
        Bit(
            f"stalled_{name}",
            f"the other side of {name} stalled a running job for watchdog_limit cycles",
            True,
        )
        for name in SINKS + SOURCES
    ),
)


def job_parameters() -> Fields:
    """Yield name, bits, reset value and meaning of what a job is made of."""
    params = Params()
    yield "hamming_threshold", 7, params.hamming_threshold, "a token joins strictly below it"
    yield "join_window", 16, params.join_window, "tokens; above JOINABLE a job is refused"
    yield "cluster_cap", 16, params.cluster_cap, "most members of a cluster"
    yield "recent_window", 16, params.recent_window, "tokens that stay in open clusters"
    yield "ratio", 17, params.ratio_fixed, "wicsum_ratio in units of 2^-16, 0 to 65536"
    yield "k_min", 16, params.k_min, "fewest clusters a row selects, 1 or more"
    yield "k_max", 16, params.k_max_fixed, "most clusters a row selects; 0xFFFF: no cap"


JOB_SETTINGS = (
    ("first_index", 16, "cluster job: index of the first token, modulo 2^16"),
    ("tokens", 16, "cluster job: tokens on s_axis_hash"),
    ("base", 16, "cluster job: number of the lowest open cluster (clusters sealed so far)"),
    ("entries", 16, "cluster job: open clusters on s_axis_table"),
    ("resume", 1, "cluster job: 1 keeps the table of the job before; entries and base are unused"),
    ("rows", 16, "select job: row packets on s_axis_row; 0 gives an empty selection"),
)
COUNTERS = (
    ("hcu_busy", "cycles in which the HCU held a job"),
    ("hcu_stalled_in", "cycles in which the HCU waited for hash bits or table entries"),
    ("hcu_stalled_out", "cycles in which the HCU waited for m_axis_assign"),
    ("hcu_compares", "cluster compares done"),
    ("wtu_rows", "rows finished"),
    ("wtu_reads", "cycles that read the row memory or the candidate buffers"),
    ("wtu_buckets", "buckets visited"),
    ("wtu_busy", "cycles in which the WTU held a row"),
    ("wtu_stalled_in", "cycles in which the WTU waited for a row"),
    ("wtu_stalled_out", "cycles in which the WTU waited for its selection to be taken"),
)
IDENTITY = (
    ("magic", "0x56524558, VREX in ASCII"),
    ("version", "of this map: major 31..16, minor 15..8, patch 7..0"),
    ("fingerprint", "of the configuration, as in the manifest"),
    ("hyperplanes", "hash bits a token"),
    ("joinable", "greatest join_window"),
    ("open", "greatest entries + tokens of a cluster job"),
    ("lanes", "clusters in a beat of s_axis_row"),
    ("longest_row", "clusters in the longest row"),
    ("queue_depth", "jobs that each queue holds"),
)


def _registers() -> Iterator[Register]:
    yield from block(0x00, Access.CONSTANT, IDENTITY)
    yield from settings(0x40, job_parameters())
    yield from settings(0x80, ((name, bits, 0, doc) for name, bits, doc in JOB_SETTINGS))
    yield flags("command", 0xC0, Access.COMMAND, COMMANDS, "starts jobs")
    yield flags("status", 0xC4, Access.STATUS, STATUS, "what goes on and what went wrong")
    masked = "the irq port is high while status & interrupt_enable is not 0"
    yield Register("interrupt_enable", 0xC8, Access.SETTING, masked, len(STATUS))
    limit = "cycles that a stream may stall a running job before its status bit is set; 0: never"
    yield Register("watchdog_limit", 0xCC, Access.SETTING, limit)
    yield from block(0x100, Access.COUNTER, COUNTERS)


def constants(config: Config) -> dict[str, int]:
    """Return the value of every read-only constant register for ``config``."""
    return {
        "magic": MAGIC,
        "version": VERSION,
        "fingerprint": config.fingerprint,
        "hyperplanes": config.hcu.hyperplanes,
        "joinable": config.hcu.joinable,
        "open": config.hcu.open,
        "lanes": config.wtu.lanes,
        "longest_row": config.wtu.entries,
        "queue_depth": QUEUE_DEPTH,
    }


NOTES = """Writing 1 to a start bit of `command` queues a job made of the registers as they are in
that cycle, parameters included: registers may be written at any time, and a job that
was started keeps what it was started with. A job whose parameters differ from those of
the jobs in the unit waits until these have finished. A start that finds the queue full
makes no job and sets a status bit."""
KVPU = RegisterMap(unit="KVPU", registers=tuple(_registers()), constants=constants, notes=NOTES)
"""The registers of the KVPU."""
