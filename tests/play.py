"""Plays what is around a small unit in Amaranth's simulator: streams that pause, device memory."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Any

from amaranth.sim import Simulator

from vrex_sim.packer import Packer

PATIENCE = 20_000
"""Cycles in which something must come."""


class Play:
    """A unit, simulated; streams pause with the chance ``pause`` a cycle."""

    def __init__(self, unit: Any, *, seed: int = 1, pause: float = 0.0) -> None:
        self.unit, self.pause, self.random = unit, pause, random.Random(seed)
        self._simulator = Simulator(unit)
        self._simulator.add_clock(1e-8)

    def pauses(self) -> bool:
        """Draw whether a stream pauses in this cycle."""
        return self.random.random() < self.pause

    def beside(self, testbench: Any) -> None:
        """Let a testbench run beside the others, for as long as there is another one."""
        self._simulator.add_testbench(testbench, background=True)

    def feed(self, stream: Any, beats: Iterable[Any]) -> None:
        """Send beats, a field or a dictionary each; what ``beats`` has later is sent later."""
        packer, queue = Packer(stream.signature.members["payload"].shape), iter(beats)

        async def testbench(ctx: Any) -> None:
            for beat in queue:
                while beat is None or self.pauses():
                    await ctx.tick()
                    if beat is None:
                        break
                if beat is None:
                    continue
                raw = stream.p.as_value() if hasattr(stream.p, "as_value") else stream.p
                ctx.set(raw, packer.pack(beat))
                ctx.set(stream.valid, 1)
                while not (await ctx.tick().sample(stream.ready))[-1]:
                    pass
                ctx.set(stream.valid, 0)

        self.beside(testbench)

    def drain(self, stream: Any, taken: Any = None) -> list[Any]:
        """Take beats; return the list to which they are added. One that waits has to stay."""
        packer, got = Packer(stream.signature.members["payload"].shape), list[Any]()

        async def testbench(ctx: Any) -> None:
            held = None
            while True:
                ready = not self.pauses()
                ctx.set(stream.ready, ready)
                *_, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
                if held is not None:
                    assert valid and _bits(payload) == held, "a beat that waited has changed"
                held = None
                if valid and ready:
                    got.append(packer.unpack(_bits(payload)))
                    if taken is not None:
                        taken(got[-1])
                elif valid:
                    held = _bits(payload)

        self.beside(testbench)
        return got

    def run(self, testbench: Any) -> None:
        """Simulate until ``testbench`` ends."""
        self._simulator.add_testbench(testbench)
        self._simulator.run()

    async def until(self, ctx: Any, condition: Any) -> int:
        """Wait until ``condition()``; return how many cycles it took."""
        for cycle in range(PATIENCE):
            if condition():
                return cycle
            await ctx.tick()
        raise AssertionError("it never comes")


class PlayedMemory:
    """Device memory behind a unit's read or write port, or both.

    ``lines``: what it holds, by number. ``log``: ("read" or "write", number), as requests came and
    as writes were done. ``reads`` and ``writes`` number what fails, from 0: ``fails`` has the
    kinds ``read``, ``write`` and ``outside``.
    """

    def __init__(
        self, play: Play, read: Any = None, write: Any = None, *, latency: int = 0
    ) -> None:
        self.lines: dict[int, int] = {}
        self.log: list[tuple[str, int]] = []
        self.fails: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._play, self._latency, self._cycle = play, latency, 0
        self._later: dict[str, deque[Any]] = {"read": deque(), "write": deque()}
        self._asked: deque[int] = deque()
        self._brought: deque[tuple[int, int]] = deque()
        self.others: dict[int, int] = {}
        """How many writes were under way when that of a line was asked for."""
        if read is not None:
            self._read = read
            play.beside(self._reads)
        if write is not None:
            self._write = write
            play.beside(self._writes)

    def again(self, **fails: int) -> None:
        """Forget the log, and let the ``fails``-th of each kind fail from now on."""
        self.log.clear()
        self.fails, self._seen = fails, {}

    @property
    def under_way(self) -> int:
        """Requests, lines and answers that are not through."""
        return sum(map(len, (*self._later.values(), self._asked, self._brought)))

    def _failed(self, kind: str) -> bool:
        number = self._seen.get(kind, 0)
        self._seen[kind] = number + 1
        return self.fails.get(kind) == number

    def _put(self, kind: str, cycle: int, what: Any) -> None:
        wait = self._play.random.randint(0, self._latency) if self._play.pause else self._latency
        self._later[kind].append((cycle + wait, what))

    def _due(self, kind: str, cycle: int) -> Any:
        queue = self._later[kind]
        return queue.popleft()[1] if queue and queue[0][0] <= cycle else None

    async def _reads(self, ctx: Any) -> None:
        port, cycle = self._read, 0
        width = len(port.line.data.as_value())
        while True:
            ready = not self._play.pauses()
            ctx.set(port.request.ready, ready)
            due = self._due("read", cycle)
            ctx.set(port.line.valid, due is not None)
            # Without a line the wires mean nothing.
            noise = (self._play.random.getrandbits(1), self._play.random.getrandbits(width))
            error, data = noise if due is None else due
            ctx.set(port.line.error, error)
            ctx.set(port.line.data.as_value(), data)
            *_, valid, p = await ctx.tick().sample(port.request.valid, port.request.p)
            cycle += 1
            if valid and ready:
                first, count = p.address, p.lines
                assert count > 0
                self.log.append(("read", first))
                for number in range(first, first + count):
                    failed = self._failed("read")
                    line = self.lines.get(number, random.Random(number).getrandbits(width))
                    self._put("read", cycle, (failed, line ^ -failed % (1 << width)))

    async def _writes(self, ctx: Any) -> None:
        port, cycle = self._write, 0
        elements = len(port.line.p.mask)
        while True:
            ready = [not self._play.pauses() for _ in range(2)]
            ctx.set(port.request.ready, ready[0])
            ctx.set(port.line.ready, ready[1] and bool(self._asked))
            due = self._due("write", cycle)
            ctx.set(port.done.valid, due is not None)
            done = {"error": 1, "outside": 1}
            if due is not None:
                done = self._done(*due)
            ctx.set(port.done.error, done["error"])
            ctx.set(port.done.outside, done["outside"])
            takes = ctx.get(port.line.ready)
            *_, asks, p, base, size, brings, data, mask = await ctx.tick().sample(
                port.request.valid,
                port.request.p,
                port.base,
                port.size,
                port.line.valid,
                port.line.p.data.as_value(),
                port.line.p.mask,
            )
            cycle += 1
            if brings and takes:
                keep = sum(0xFFFF << 16 * n for n in range(elements) if mask >> n & 1)
                self._put("write", cycle, (self._asked.popleft(), data, keep))
            if asks and ready[0]:
                assert p.lines == 1 and base <= p.address < base + size
                self.others[p.address] = len(self._asked) + len(self._later["write"])
                self._asked.append(p.address)

    def _done(self, number: int, data: int, keep: int) -> dict[str, bool]:
        done = {"error": self._failed("write"), "outside": self._failed("outside")}
        self.log.append(("write", number))
        if not any(done.values()):
            self.lines[number] = self.lines.get(number, 0) & ~keep | data & keep
        return done


def _bits(payload: Any) -> int:
    """Return the bits of a sampled payload."""
    return payload.as_bits() if hasattr(payload, "as_bits") else int(payload)
