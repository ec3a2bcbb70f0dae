"""Device memory of cocotbext-axi for a bench, made harder: faults, disorder, back-pressure."""

import logging
import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
from cocotb.triggers import Event, RisingEdge
from cocotbext.axi import AxiBus, AxiRam
from cocotbext.axi.axi_ram import AxiRamRead, AxiRamWrite


class AxiMemory:
    """An AXI4 subordinate at ``prefix`` of ``dut`` with ``image`` (bytes) in it.

    cocotbext-axi asserts that bursts stay within 4 KB and that WLAST is right. ``poison``: byte
    ranges (begin, end) that answer SLVERR. With ``disorder`` answers of different IDs come in any
    order, beats of reads interleaved; without, in the order of the bursts. Each channel pauses
    with probability ``stall`` a cycle.
    """

    def __init__(
        self,
        dut: Any,
        prefix: str,
        image: bytes,
        *,
        poison: Iterable[tuple[int, int]] = (),
        disorder: bool = False,
        stall: float = 0.0,
        seed: int = 1,
    ) -> None:
        """Attach to the ports."""
        ranges = list(poison)
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.ram = AxiRam(AxiBus.from_prefix(dut, prefix), dut.clk, dut.rst, size=len(image))
        self.ram.write(0, image)
        read, write = self.ram.read_if, self.ram.write_if
        read._read = _poisoned(read, AxiRamRead._read, ranges)
        write._write = _poisoned(write, AxiRamWrite._write, ranges)
        if disorder:
            read.r_channel = _Disorder(read.r_channel, "rid", dut.clk, seed)
            write.b_channel = _Disorder(write.b_channel, "bid", dut.clk, seed + 1)
        channels = (
            read.ar_channel,
            read.r_channel,
            write.aw_channel,
            write.w_channel,
            write.b_channel,
        )
        for number, channel in enumerate(channels):
            if stall:
                channel.set_pause_generator(coin(random.Random(f"{seed} {number}"), stall))

    def image(self) -> bytes:
        """Return what the memory holds."""
        return bytes(self.ram.read(0, self.ram.size))


class _Disorder:
    """Stands before a channel of answers and lets those of other IDs overtake."""

    def __init__(self, channel: Any, of: str, clock: Any, seed: int) -> None:
        self._channel, self._of, self._clock = channel, of, clock
        self._queues: dict[int, deque[Any]] = {}
        self._random = random.Random(seed)
        self._came = Event()
        self._task: Any = None

    async def send(self, answer: Any) -> None:
        if self._task is None:
            self._task = cocotb.start_soon(self._forward())
        self._queues.setdefault(int(getattr(answer, self._of)), deque()).append(answer)
        self._came.set()

    async def _forward(self) -> None:
        while True:
            waiting = [queue for queue in self._queues.values() if queue]
            if not waiting:
                self._came.clear()
                await self._came.wait()
            elif self._random.random() < 0.3:
                await RisingEdge(self._clock)  # others may come meanwhile
            else:
                await self._channel.send(self._random.choice(waiting).popleft())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def clear(self) -> None:
        self._queues.clear()
        self._channel.clear()


def _poisoned(side: Any, plain: Any, ranges: list[tuple[int, int]]) -> Any:
    async def access(address: int, what: Any) -> Any:
        if any(begin <= address < end for begin, end in ranges):
            raise OSError("poisoned")
        return await plain(side, address, what)

    return access


def coin(rng: random.Random, probability: float) -> Iterator[bool]:
    """Yield True with ``probability``: a pause generator of cocotbext-axi."""
    while True:
        yield rng.random() < probability
