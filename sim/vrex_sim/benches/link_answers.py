"""A host link in Python that answers each request as it is told, rightly or wrongly."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import (
    LINK_COMPLETION,
    LINK_REQUEST,
    TAG,
    receive_layout,
    send_layout,
)
from vrex_sim.drivers import Bench

FAULTS: dict[str, tuple[str, ...]] = {
    "good": ("NONE",),
    "error": ("LINK_ERROR",),
    "short": ("LINK_SHORT",),
    "lie": ("LINK_SHORT", "LINK_LATE"),
    "long": ("LINK_SHORT",),
    "count": ("LINK_SHORT",),
    "torn": ("LINK_SHORT", "LINK_LATE"),
    "lost": ("LINK_LATE",),
    "mute": ("LINK_LATE",),
    "late": ("LINK_LATE",),
    "twice": ("NONE",),
    "stray": ("NONE",),
}
"""Ways to answer, and the faults that each may end in where no transfer before it has failed.

error: the completion has its bit set, with or without a packet. short, long: a line less or more
comes, and the completion tells; lie: it does not. count: the completion alone is wrong. torn: the
packet never ends. lost: nothing comes; mute: no completion comes. late: all of it comes after the
limit. twice: two completions. stray: packets and completions of other tags come as well. (No packet
at all, that of one line less than one, is late.)
"""


def line(config: Config, address: int) -> int:
    """Return the line that the host has at ``address``; none is zero."""
    return random.Random(address).getrandbits(16 * config.lxe.side) | 1


class Answers:
    """The link's side of the four streams.

    ``plans``: for each transfer by its number how it is answered. A request's number is its tag
    less ``epoch``. Answers come up to ``delay`` cycles after the request, packets in the order of
    the requests, completions in any; late ones ``limit`` cycles later, packets anywhere between
    others.
    """

    def __init__(
        self, tb: Bench, config: Config, plans: list[str], *, epoch: int, limit: int, delay: int
    ) -> None:
        """Attach to the streams of ``tb``."""
        self._config, self._plans, self._epoch = config, plans, epoch
        self._limit, self._delay = limit, delay
        self._rng = random.Random(tb.seed)
        self.request = tb.sink("link__request", LINK_REQUEST)
        self.send = tb.sink("link__send", send_layout(config.lxe.side))
        self._completion = tb.source("link__completion", LINK_COMPLETION)
        self._receive = tb.source("link__receive", receive_layout(config.lxe.side))
        self._packets: deque[tuple[int, list[dict[str, Any]]]] = deque()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._now = self._order = 0
        self._writes: deque[tuple[int, dict[str, int]]] = deque()
        self.asked: list[tuple[int, dict[str, int]]] = []
        """Requests in their order, each with the number of its transfer."""
        self.written: dict[int, list[int]] = {}
        """Lines of the packets that were sent, by the transfer's number."""
        self.sends: list[int] = []
        """Cycles in which lines were sent."""
        self._packet: list[int] = []
        self.request.on_beat = lambda beat, _: self._asked(self.request.packer.unpack(beat))
        self.send.on_beat = lambda beat, cycle: self._sent(self.send.packer.unpack(beat), cycle)

    @property
    def owes(self) -> bool:
        """Whether an answer is still to come, or lines of a write are."""
        return bool(
            self._events
            or self._packets
            or self._writes
            or self._receive.pending
            or self._completion.pending
        )

    def step(self) -> None:
        """Let a cycle pass."""
        self._now += 1
        while self._packets and self._packets[0][0] <= self._now:
            self._receive.send_all(self._packets.popleft()[1])
        while self._events and self._events[0][0] <= self._now:
            heapq.heappop(self._events)[2]()

    def stray(self, tag: int) -> None:
        """Send a packet and a completion of ``tag`` that belong to nothing."""
        request = {"tag": tag, "address": ~tag, "lines": self._rng.randint(1, 3)}
        packet = [self._beat(request, k, request["lines"]) for k in range(request["lines"])]
        self._packets.append((self._now + self._rng.randint(0, self._delay), packet))
        self._completion.send({"tag": tag, "error": 0, "lines": request["lines"]})

    def _asked(self, request: dict[str, int]) -> None:
        """Order the answer to a request."""
        number = (request["tag"] - self._epoch) % (1 << TAG)
        self.asked.append((number, request))
        plan = self._plans[number]
        if plan == "stray":
            self.stray((request["tag"] + self._rng.randint(1 << 14, 3 << 14)) % (1 << TAG))
        if request["write"]:
            self._writes.append((number, request))
        else:
            self._answer_read(plan, request)
        early = request["write"] and self._rng.random() < 0.3
        if not request["write"] or early:
            self._complete(plan, request)
            if early:
                self._plans[number] = "lost"

    def _sent(self, beat: dict[str, Any], cycle: int) -> None:
        """Collect a packet; complete its request if that has not been done."""
        self.sends.append(cycle)
        self._packet.append(sum(value << 16 * k for k, value in enumerate(beat["data"])))
        if not beat["last"]:
            return
        number, request = self._writes.popleft()
        self.written[number], self._packet = self._packet, []
        if len(self.written[number]) != request["lines"]:
            raise AssertionError(
                f"transfer {number}: {len(self.written[number])} lines sent, "
                f"{request['lines']} announced"
            )
        self._complete(self._plans[number], request)

    def _answer_read(self, plan: str, request: dict[str, int]) -> None:
        """Queue a read's packet."""
        lines = request["lines"] + {"short": -1, "lie": -1, "long": 1}.get(plan, 0)
        if plan == "torn":
            lines = self._rng.randint(1, lines)
        if plan == "lost" or (plan == "error" and self._rng.random() < 0.5):
            return
        packet = [self._beat(request, k, lines) for k in range(lines)]
        if plan == "torn":
            packet[-1]["last"] = 0
        if plan == "late":
            self._after(self._lateness(), lambda: self._receive.send_all(packet))
        elif packet:
            self._packets.append((self._now + self._rng.randint(0, self._delay), packet))

    def _beat(self, request: dict[str, int], index: int, lines: int) -> dict[str, Any]:
        bits = line(self._config, request["address"] + index)
        values = [bits >> 16 * k & 0xFFFF for k in range(self._config.lxe.side)]
        return {"data": values, "tag": request["tag"], "last": index == lines - 1}

    def _complete(self, plan: str, request: dict[str, int]) -> None:
        """Send a completion, later, unless the plan is to send none."""
        if plan in ("lost", "mute"):
            return
        lines = request["lines"]
        if plan in ("short", "long") or (plan == "lie" and request["write"]):
            lines += {"long": 1}.get(plan, -1)
        if plan == "count":
            lines = (lines + self._rng.choice([-1, 1, 256])) % (1 << 16)
        completion = {"tag": request["tag"], "error": plan == "error", "lines": lines}
        for _ in range(2 if plan == "twice" else 1):
            wait = self._lateness() if plan == "late" else self._rng.randint(0, self._delay)
            self._after(wait, lambda: self._completion.send(completion))

    def _lateness(self) -> int:
        return self._limit + self._rng.randint(50, 3 * self._delay + 50)

    def _after(self, wait: int, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self._now + wait, self._order, act))
