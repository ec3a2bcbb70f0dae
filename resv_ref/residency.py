"""Which selected clusters are in device memory, and what the host is asked for: one KV head."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vrex.residency import TOP, Policy, admits, gain, touch


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a selected cluster is when its job attends."""

    cluster: int
    transient: bool
    """In a slot of the job alone."""
    slot: int
    fetched: bool
    """It comes from the host; else it was there: a hit."""
    victim: int | None = None
    """The cluster that gave its slot for it."""


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """What a job finds and fetches."""

    places: list[Place] = field(default_factory=list)
    """Of the selected clusters, ascending."""
    requests: list[tuple[int, int]] = field(default_factory=list)
    """To the host: the first line, counted from where the head's clusters begin, and the lines."""


class Residency:
    """The clusters of a head that stay in device memory, job after job.

    The state is :attr:`priority`, :attr:`resident` and :attr:`slot` of every sealed cluster,
    whether the last job has :attr:`chosen` and fetched it (:attr:`fresh`), and the slots
    :attr:`used`.
    Bit for bit what :class:`vrex_hw.kvmu.retriever.Retriever` does.
    """

    def __init__(
        self,
        room: int,
        policy: Policy,
        *,
        slot_tokens: int = 32,
        token_lines: int = 1,
        request_lines: int = 512,
    ) -> None:
        """Give the sizes: ``room`` slots, of ``slot_tokens`` tokens each.

        A token has ``token_lines`` lines, a request ``request_lines`` at most.
        """
        self.room = room
        self.policy = policy
        self.slot_tokens = slot_tokens
        self.token_lines, self.request_lines = token_lines, request_lines
        self.used = self._used_before = 0
        self.priority = np.zeros(0, np.int64)
        self.slot = np.zeros(0, np.int64)
        self.resident = np.zeros(0, bool)
        self.chosen = np.zeros(0, bool)
        self.fresh = np.zeros(0, bool)

    def step(
        self, selected: list[int], counts: NDArray[np.int64], most: int | None = None
    ) -> Retrieval:
        """Do a job that has ``selected`` clusters, ascending, of those whose ``counts`` are given.

        ``counts`` are the tokens of all sealed clusters, by number; none may be missing that an
        earlier job had. Only the first ``most`` of the selected are placed: a job that fails may
        come no further (see :meth:`revert`).
        """
        self._used_before = self.used
        self._touch(selected, counts)
        placed = selected if most is None else selected[:most]
        transient = 0
        places = []
        for cluster in placed:
            place = self._place(cluster, transient)
            transient += place.transient
            places.append(place)
        fetched = [place.cluster for place in places if place.fetched]
        requests = coalesce(fetched, counts, self.token_lines, self.request_lines)
        return Retrieval(places=places, requests=requests)

    def revert(self) -> None:
        """Undo the last job's fetches, which failed: what it made resident is not."""
        self.resident &= ~self.fresh
        self.used = self._used_before

    def _touch(self, selected: list[int], counts: NDArray[np.int64]) -> None:
        more = len(counts) - len(self.priority)
        for name in ("priority", "slot", "resident"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))
        self.fresh = np.zeros(len(counts), bool)
        self.chosen = np.zeros(len(counts), bool)
        self.chosen[selected] = True
        touched = zip(self.priority.tolist(), self.chosen.tolist(), counts.tolist(), strict=True)
        self.priority = np.array(
            [
                touch(priority, chosen, self.policy, gain(count, self.slot_tokens))
                for priority, chosen, count in touched
            ],
            np.int64,
        )

    def _place(self, cluster: int, transient: int) -> Place:
        """Find the cluster, or give it a slot that is free, a victim's, or a transient one."""
        if self.resident[cluster]:
            slot = int(self.slot[cluster])
            return Place(cluster=cluster, transient=False, slot=slot, fetched=False)
        self.fresh[cluster] = True
        victim = None
        slot = self.used
        if self.used < self.room:
            self.used += 1
        else:
            victim = self._victim(int(self.priority[cluster]))
            if victim is None:
                return Place(cluster=cluster, transient=True, slot=transient, fetched=True)
            self.resident[victim] = False
            slot = int(self.slot[victim])
        self.resident[cluster] = True
        self.slot[cluster] = slot
        return Place(cluster=cluster, transient=False, slot=slot, fetched=True, victim=victim)

    def _victim(self, newcomer: int) -> int | None:
        """Return the resident cluster of least priority that is not chosen, if it has to go."""
        may_go = self.resident & ~self.chosen
        if not may_go.any():
            return None
        victim = int(np.argmin(np.where(may_go, self.priority, TOP + 1)))
        return victim if admits(newcomer, int(self.priority[victim])) else None


def coalesce(
    clusters: list[int], counts: NDArray[np.int64], token_lines: int, request_lines: int
) -> list[tuple[int, int]]:
    """Return the requests, (first line, lines), that bring ``clusters``, ascending.

    On the host the clusters, of ``counts`` tokens, lie one behind the other. Adjacent ones share a
    request while all of it fits; a cluster that is larger alone is cut after every
    ``request_lines`` lines, and what is left of it may be joined.
    """
    ends = np.cumsum(counts) * token_lines
    requests: list[tuple[int, int]] = []
    for cluster in clusters:
        lines = int(counts[cluster]) * token_lines
        first = int(ends[cluster]) - lines
        if requests:
            begin, length = requests[-1]
            if begin + length == first and length + lines <= request_lines:
                requests[-1] = (begin, length + lines)
                continue
        while lines > request_lines:
            requests.append((first, request_lines))
            first, lines = first + request_lines, lines - request_lines
        requests.append((first, lines))
    return requests
