"""Packets for the HCU, as its user would send them, and what must come back.

:class:`Head` keeps the HC table of one head from the assignments alone and predicts them with the
plainest reading of ReSV's rules; it shares no code with the reference or with the hardware.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

INDEX = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Registers:
    """The HCU's parameters, by the names of its ports."""

    hamming_threshold: int = 5
    join_window: int = 16
    cluster_cap: int = 32
    recent_window: int = 32

    @property
    def reach(self) -> int:
        """Most tokens between a cluster's first and one that joins it."""
        return min(self.join_window, self.recent_window)


@dataclass(kw_only=True)
class Cluster:
    """One row of the HC table."""

    hash: int
    first: int
    count: int


@dataclass
class Head:
    """One (layer, KV head) of a stream: its clusters, and its next token's index (unbounded)."""

    index: int = 0
    sealed: int = 0
    clusters: list[Cluster] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """How often each corner was met."""
    compares: int = 0
    """Joinable clusters, full ones included, over all tokens so far."""

    def packet(
        self, bits: Sequence[int], registers: Registers, *, resume: bool = False
    ) -> dict[str, Any]:
        """Return one packet: its job, table, tokens and expected assignments."""
        rows = self.clusters[self.sealed :]
        job = {
            "first_index": self.index % INDEX,
            "tokens": len(bits),
            "base": self.sealed,
            "entries": len(rows),
            "resume": int(resume),
        }
        table = [] if resume else [{**asdict(row), "first": row.first % INDEX} for row in rows]
        self.seen["resumed"] += resume
        self.seen["empty table"] += not rows
        self.seen["no tokens"] += not bits
        self.seen["index wraps"] += (self.index + len(bits)) // INDEX > self.index // INDEX
        expected = [self._assign(token, registers) for token in bits]
        self._seal(registers)
        expected.append({"number": self.sealed, "opened": 0, "error": 0, "last": 1})
        return {"job": job, "table": table, "hash": list(bits), "assign": expected}

    def refused(self, bits: Sequence[int], **job: int) -> dict[str, Any]:
        """Return a packet that the HCU refuses: ``job`` changes what makes it so."""
        packet = self.peek(bits)
        packet["job"].update(job)
        rows = packet["job"]["entries"] if not packet["job"]["resume"] else 0
        packet["table"] = [{"hash": 0, "first": 0, "count": 1}] * rows
        packet["hash"] = [0] * packet["job"]["tokens"]
        packet["assign"] = [{"number": 0, "opened": 0, "error": 1, "last": 1}]
        self.seen["refused"] += 1
        return packet

    def peek(self, bits: Sequence[int]) -> dict[str, Any]:
        """Return the job and the table of a packet that is not run."""
        rows = self.clusters[self.sealed :]
        job = {
            "first_index": self.index % INDEX,
            "tokens": len(bits),
            "base": self.sealed,
            "entries": len(rows),
            "resume": 0,
        }
        table = [{**asdict(row), "first": row.first % INDEX} for row in rows]
        return {"job": job, "table": table, "hash": list(bits), "assign": []}

    def _assign(self, bits: int, registers: Registers) -> dict[str, int]:
        near = [
            (number, (self.clusters[number].hash ^ bits).bit_count())
            for number in range(self.sealed, len(self.clusters))
            if self.index - self.clusters[number].first <= registers.reach
        ]
        free = [x for x in near if self.clusters[x[0]].count < registers.cluster_cap]
        least = min((distance for _, distance in free), default=INDEX)
        fits = [number for number, distance in free if distance == least]
        opened = least >= registers.hamming_threshold
        number = len(self.clusters) if opened else fits[0]
        if opened:
            self.clusters.append(Cluster(hash=bits, first=self.index, count=0))
        self.clusters[number].count += 1
        self._note(near, free, fits, opened, number, registers)
        self.index += 1
        return {"number": number, "opened": int(opened), "error": 0, "last": 0}

    def _note(
        self,
        near: list[tuple[int, int]],
        free: list[tuple[int, int]],
        fits: list[int],
        opened: bool,
        number: int,
        registers: Registers,
    ) -> None:
        """Count the compares and the corners of this token."""
        self.compares += len(near)
        cap = registers.cluster_cap
        seen = self.seen
        seen["opened" if opened else "joined"] += 1
        seen["nothing joinable"] += not near
        seen["one joinable"] += len(near) == 1
        seen["join window holds only openers"] += len(near) == registers.reach
        seen["a full cluster passed over"] += len(free) < len(near)
        seen["all full"] += bool(near) and not free
        seen["tie"] += not opened and len(fits) > 1
        seen["all tie"] += not opened and len(fits) == len(near) > 2
        seen["filled"] += not opened and self.clusters[number].count == cap
        seen["joined the newest"] += not opened and number == len(self.clusters) - 1
        seen["joined the last in reach"] += (
            not opened and self.index - self.clusters[number].first == registers.reach
        )
        seen["expired but open"] += len(near) < len(self.clusters) - self.sealed - opened

    def _seal(self, registers: Registers) -> None:
        before = self.sealed
        while sum(c.count for c in self.clusters[self.sealed :]) > registers.recent_window:
            self.sealed += 1
        self.seen["sealed"] += self.sealed > before
        self.seen["sealed several"] += self.sealed > before + 1
