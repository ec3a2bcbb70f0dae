"""Traffic for the ports of device memory, and what must come of it."""

import random
from dataclasses import dataclass, field

import numpy as np
from amaranth import Module
from amaranth.lib import wiring

from vrex_hw.config import Config, KVMUConfig, LXEConfig, WTUConfig
from vrex_hw.memory import MemoryPort
from vrex_hw.memory.layouts import Sizes
from vrex_hw.models.memory import Memory


def sizes(side: int, bus: int, **kvmu: int) -> Config:
    return Config(
        head_dims=(8,),
        wtu=WTUConfig(lanes=2, entries=16),
        lxe=LXEConfig(side=side, rows=4, score_rows=2),
        kvmu=KVMUConfig(bus_bytes=bus, **{"address_bits": 32, **kvmu}),
    )


HALF = sizes(8, 8)
"""Two beats a line, as in `tiny`."""
WHOLE = sizes(8, 16)
"""A beat a line."""
ODD = sizes(16, 4, address_bits=33)
"""Eight beats a line, so that 256 beats, not a page, are what ends a burst."""


class System(wiring.Component):
    """The ports, with the behavioural memory behind them."""

    def __init__(self, config: Config, readers: int, writers: int, lines: int) -> None:
        self._port = MemoryPort(config, readers, writers)
        self._memory = Memory(config, lines, seed=7)
        self._own = {n: m for n, m in self._port.signature.members.items() if n != "m_axi"}
        self._knobs = {n: m for n, m in self._memory.signature.members.items() if n != "s_axi"}
        super().__init__({**self._own, **self._knobs})

    def elaborate(self, platform):
        m = Module()
        m.submodules.port, m.submodules.memory = self._port, self._memory
        wiring.connect(m, self._port.m_axi, self._memory.s_axi)
        for unit, members in ((self._port, self._own), (self._memory, self._knobs)):
            for name, member in members.items():
                inner, outer = getattr(unit, name), getattr(self, name)
                if member.is_port:
                    m.d.comb += inner.eq(outer)
                elif member.dimensions:
                    for theirs, mine in zip(inner, outer, strict=True):
                        wiring.connect(m, theirs, wiring.flipped(mine))
                else:
                    wiring.connect(m, inner, wiring.flipped(outer))
        return m


@dataclass
class Traffic:
    """Bursts of every client. Writers have regions of their own; readers read what stays."""

    config: Config
    lines: int
    seed: int = 1
    readers: list = field(default_factory=list)
    writers: list = field(default_factory=list)
    poison: set = field(default_factory=set)
    """Lines that answer with an error."""
    after: bool = False
    """Readers start when all has been written."""

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        side, size = self.config.lxe.side, 2 * self.config.lxe.side
        total = sum(n for writer in self.writers for _, n in writer["bursts"])
        self.image = rng.integers(0, 256, (self.lines, size), dtype=np.uint8)
        self.data = rng.integers(0, 256, (total, size), dtype=np.uint8)
        elements = rng.integers(0, 2, (total, side), dtype=np.uint8)
        kind = rng.integers(0, 3, total)
        elements[kind == 0], elements[(kind == 1) & (rng.random(total) < 0.3)] = 1, 0
        self.elements = elements
        self.mask = np.packbits(elements, axis=1, bitorder="little")

    def arguments(self):
        byte = 2 * self.config.lxe.side
        return {
            "config": self.config.to_dict(),
            "readers": self.readers,
            "writers": self.writers,
            "data": self.data,
            "mask": self.mask,
            "image": self.image,
            "seed": self.seed,
            "after": self.after,
            "poison": [[n * byte, (n + 1) * byte] for n in sorted(self.poison)],
        }

    def expected(self):
        """Return the image afterwards, and error and outside of each writer's requests."""
        image, first, dones = self.image.copy(), 0, []
        for writer in self.writers:
            base, end = writer["base"], writer["base"] + writer["size"]
            rows = []
            for at, n in writer["bursts"]:
                outside = at < base or at + n > min(end, Sizes(self.config).space)
                error = False
                for k in range(0 if outside else n):
                    elements = np.repeat(self.elements[first + k], 2).astype(bool)
                    if at + k in self.poison:
                        error |= bool(elements.any())
                    else:
                        image[at + k] = np.where(elements, self.data[first + k], image[at + k])
                first += n
                rows.append([int(error), int(outside)])
            dones.append(rows)
        return image, dones

    def check(self, got):
        image, dones = self.expected()
        np.testing.assert_array_equal(got["image"], image)
        for k, rows in enumerate(dones):
            assert got[f"done_{k}"][:, :2].tolist() == rows, k
        source = image if self.after else self.image
        for k, bursts in enumerate(self.readers):
            at = [(a, a + n > Sizes(self.config).space) for a, n in bursts for a in [a] * n]
            lines = [a + i for a, n in bursts for i in range(n)]
            bad = [out or line in self.poison for line, (_, out) in zip(lines, at, strict=True)]
            assert got[f"error_{k}"].tolist() == [int(b) for b in bad], k
            for row, line, failed in zip(got[f"line_{k}"], lines, bad, strict=True):
                assert failed or np.array_equal(row, source[line]), (k, line)

    def check_bursts(self, got):
        """Every burst within a page and, of writes, within its client's bounds; none too long."""
        byte = 2 * self.config.lxe.side
        bus = self.config.kvmu.bus_bytes
        for channel in ("aw", "ar"):
            for _, client, address, beats in got[channel].tolist():
                end = address + beats * bus
                assert address // 4096 == (end - 1) // 4096 and beats <= 256
                if channel == "aw":
                    writer = self.writers[client]
                    low = writer["base"] * byte
                    assert low <= address and end <= low + writer["size"] * byte


def bursts(rng: random.Random, base: int, size: int, count: int, longest: int = 256) -> list:
    """Random bursts inside of a region: short ones, long ones, ends of it."""
    made = []
    for _ in range(count):
        n = min(size, rng.choice([1, 1, 2, 3, rng.randrange(1, 40), longest]))
        made.append([base + rng.choice([0, size - n, rng.randrange(size - n + 1)]), n])
    return made
