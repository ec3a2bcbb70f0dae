"""Bench of the score path: batches of scores in, every beat of weights compared.

Arguments: ``config``, the fields of a :class:`~vrex_hw.config.Config`; ``seed``; ``idle``, how
often a cycle has no write; ``stall`` of the weights; ``ahead``, how many batches are written
before the first is drained, 1 or 2; ``reset``, how many cycles after its drain the first batch is
cut off by a reset, to be sent again, 0: never; and ``batches``, a list of ``columns``, ``map``,
``temperature``, ``order`` ("rows" or "tiles" first) and ``garbage``, 1 where only the beats
count. Of batch n, ``scores_n`` are the bits uint32 [rows, columns], ``counts_n`` uint16 [columns]
and ``weights_n`` uint16 [rows, columns]. Gives back the cycles in which batches were taken
(``drains``) and each beat was (``beats``).
"""

import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from vrex_hw.config import from_dict
from vrex_hw.lxe.layouts import Layouts
from vrex_hw.lxe.scores.layouts import counts_layout, words, write_layout
from vrex_hw.wtu.layouts import Layouts as RowLayouts
from vrex_sim.compare import equal
from vrex_sim.drivers import Bench, Sink
from vrex_sim.exchange import arguments, give
from vrex_sim.packer import Packer


class Writer:
    """Writes batches into the bank that is free, then gives them to be drained."""

    def __init__(self, tb: Bench, given: dict) -> None:
        """Take the sizes from ``given``."""
        self.config = from_dict(given["config"])
        self._tb, self._given = tb, given
        self._write = Packer(write_layout(self.config))
        self._counts = Packer(counts_layout(self.config))
        self._drain = tb.source("drain", Layouts(self.config).drain)
        self._random = random.Random(given["seed"])
        self.drains: list[int] = []
        self._drain.on_beat = lambda beat, cycle: self.drains.append(cycle)
        self._released = 0
        tb.set(write=0, counts=0)

    async def watch(self) -> None:
        """Count the batches that were released."""
        while True:
            await RisingEdge(self._tb.dut.clk)
            self._released += int(self._tb.dut.released.value)

    async def run(self, batches: list[dict]) -> None:
        """Write ``batches`` as far ahead as two banks allow."""
        ahead, jobs = self._given["ahead"], []
        for number, batch in enumerate(batches):
            while number - self._released > 1:
                await self._tb.cycles(1)
            writes, counts = self._scores(number, batch), self._token_counts(number)
            jobs.append(self._job(number, batch))
            while writes or counts:
                busy = self._random.random() >= self._given["idle"]
                ends = busy and len(writes) <= 1 and len(counts) <= 1
                if ends and ahead == 1:
                    self._drain.send_all([jobs.pop()])  # in the cycle of the last writes
                await self._tb.cycles(1)
                self._tb.set(
                    write=writes.pop(0) if writes and busy and (ends or len(writes) > 1) else 0,
                    counts=counts.pop(0) if counts and busy and (ends or len(counts) > 1) else 0,
                )
            await self._tb.cycles(1)
            self._tb.set(write=0, counts=0)
            if number + 1 >= ahead:
                self._drain.send_all(jobs)
                jobs = []

    def _job(self, number: int, batch: dict) -> dict:
        fields = {name: batch[name] for name in ("columns", "map")}
        rows = len(self._given[f"scores_{number}"])
        return {
            **fields, "bank": number % 2, "rows": rows, "temperature": batch["temperature"] & 15
        }  # fmt: skip

    def _scores(self, number: int, batch: dict) -> list[int]:
        """Return the packed writes; what is not live is random."""
        side, scores = self.config.lxe.side, self._given[f"scores_{number}"]
        tiles = min(words(self.config), -(-scores.shape[1] // side))
        places = [(row, word) for row in range(len(scores)) for word in range(tiles)]
        if batch["order"] == "tiles":
            places.sort(key=lambda place: place[1])
        packed = []
        for row, word in places:
            live = scores[row, word * side :][:side].tolist()
            # Half of what must not count is so large that it would show.
            bits = (self._random.getrandbits(32) for _ in range(side - len(live)))
            dead = [dead | self._random.choice((0, 0x7E000000)) for dead in bits]
            write = {
                "valid": 1, "bank": number % 2, "row": row, "word": word, "clear": word == 0,
                "live": (1 << len(live)) - 1, "scores": live + dead,
            }  # fmt: skip
            packed.append(self._write.pack(write))
        return packed

    def _token_counts(self, number: int) -> list[int]:
        """Return the packed writes of a batch's token counts."""
        lxe, counts = self.config.lxe, self._given[f"counts_{number}"]
        packed = []
        for first in range(0, min(len(counts), self.config.wtu.entries), lxe.load_rows):
            some = counts[first : first + lxe.load_rows].tolist()
            write = {
                "valid": 1, "bank": number % 2, "word": first // lxe.side,
                "index": first % lxe.side, "enable": (1 << len(some)) - 1,
                "counts": some + [self._random.getrandbits(16)] * (lxe.load_rows - len(some)),
            }  # fmt: skip
            packed.append(self._counts.pack(write))
        return packed


async def check(tb: Bench, sink: Sink, given: dict, lanes: int) -> list[int]:
    """Compare every beat; return their cycles."""
    cycles = []
    for number, batch in enumerate(given["batches"]):
        weights, counts = given[f"weights_{number}"], given[f"counts_{number}"]
        columns = batch["columns"]
        for row in range(len(weights)):
            for beat in range(max(1, -(-columns // lanes))):
                got, cycle = await sink.beat_at()
                cycles.append(cycle)
                valid = min(lanes, columns - beat * lanes)
                expected: list[Any] = [(1, None, None)] * valid
                if not batch["garbage"]:
                    part = slice(beat * lanes, beat * lanes + valid)
                    pairs = zip(weights[row, part].tolist(), counts[part].tolist(), strict=True)
                    expected = [(1, *pair) for pair in pairs]
                seen = [
                    (1, None if batch["garbage"] else lane["weight"],
                     None if batch["garbage"] else lane["count"]) if lane["valid"] else (0,)
                    for lane in got["lanes"]
                ]  # fmt: skip
                expected += [(0,)] * (lanes - valid)
                index, at = (number, row, beat), {"cycle": cycle, "origin": tb.origin}
                equal("scores", "weights", index, expected, seen, **at)
                last = int((beat + 1) * lanes >= columns)
                equal("scores", "last", index, last, got["last"], **at)
    return cycles


@cocotb.test()
async def scores(dut: Any) -> None:
    """Write and compare all batches; nothing more may come."""
    given = arguments()
    tb = Bench(dut, seed=given["seed"], stall=given["stall"], patience=3_000)
    writer = Writer(tb, given)
    sink = tb.sink("weights", RowLayouts(writer.config.wtu).row)
    await tb.reset()
    if given["reset"]:
        await writer.run(given["batches"][:1])
        await tb.cycles(given["reset"])
        await tb.restart()
        writer.drains.clear()
    cocotb.start_soon(writer.watch())
    cocotb.start_soon(writer.run(given["batches"]))
    cycles = await check(tb, sink, given, writer.config.wtu.lanes)
    await tb.finish(60)
    give(drains=np.array(writer.drains), beats=np.array(cycles))
