"""A behavioural device memory: an AXI4 subordinate to try the core with."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi
from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import LINE
from vrex_hw.lxe.outbox import Outbox
from vrex_hw.memory.layouts import ID_BITS, Sizes
from vrex_hw.models.fault import BITS
from vrex_hw.models.memory_read import ROUND_TRIP, MemoryRead
from vrex_hw.models.memory_write import MemoryWrite
from vrex_hw.models.noise import Noise
from vrex_hw.models.ram import ram

WAITING = 512
"""Bursts of each direction that may wait: more than the latency, which so never bounds the rate."""
READ_LATENCY, WRITE_LATENCY = 7, 3
"""Cycles from AR to the first R, and from the last W to B, at latency 0 and without stalls."""
ADDRESS_LATENCY = 3
"""Cycles from AW to the first W that is taken."""


class Memory(wiring.Component):
    """``lines`` lines of device memory, with knobs.

    ``latency`` (cycles, 0 to 255) is added to what reads and answers to writes take at the least;
    they come in order, a beat a cycle. In a cycle each of AR, R, AW, W and B pauses with a chance
    of ``stall`` in 256. The ``read_fault_at``-th and ``write_fault_at``-th burst from when that
    input last changed (0: none) answers SLVERR, and a write then does not write. So does a burst
    against the rules: not INCR, over a page, WLAST in the wrong place. A beat where there is no
    memory answers DECERR and touches nothing. The data of a read that fails are inverted.

    The host's way in, at any time and without a cost to the bus: ``load`` writes a line; ``dump``
    asks for one, which comes at ``dumped``; a line a cycle where the bus leaves one. What lies
    outside is not loaded; there, and where nothing was ever written, dumps mean nothing.

    The storage survives a reset. It is an instance of ``vrex_ram`` (:mod:`vrex_hw.models.ram`).
    """

    def __init__(self, config: Config, lines: int, *, seed: int = 1) -> None:
        """``lines``: 2 or more; ``seed``, not 0, of the pauses."""
        if not 2 <= lines <= 1 << LINE:
            raise ValueError(f"lines is {lines!r}: it must be from 2 to 2^{LINE}")
        self._config, self._lines, self._seed, self._sizes = config, lines, seed, Sizes(config)
        self._sizes.check(1)
        line = 8 * self._sizes.line_bytes
        bus = axi.Signature(config.kvmu.bus_bytes, config.kvmu.address_bits, ID_BITS)
        super().__init__(
            {
                "s_axi": In(bus),
                "latency": In(8),
                "stall": In(8),
                "read_fault_at": In(BITS),
                "write_fault_at": In(BITS),
                "load": In(stream.Signature(data.StructLayout({"address": LINE, "data": line}))),
                "dump": In(stream.Signature(data.StructLayout({"address": LINE}))),
                "dumped": Out(stream.Signature(data.StructLayout({"data": line}))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join the two sides and the storage."""
        m = Module()
        bits, depth = 8 * self._sizes.line_bytes, self._lines
        m.submodules.noise = noise = Noise(5, self._seed)
        m.submodules.reads = reads = MemoryRead(self._config, depth, WAITING)
        m.submodules.writes = writes = MemoryWrite(self._config, depth, WAITING)
        storage = ram(m, platform, "storage", bits, depth)
        own = wiring.flipped(self.s_axi)
        for side, fault_at in ((reads, self.read_fault_at), (writes, self.write_fault_at)):
            m.d.comb += [
                *axi.pass_on(own, side.s_axi),
                side.latency.eq(self.latency),
                side.fault_at.eq(fault_at),
            ]
        m.d.comb += [noise.chance.eq(self.stall), Cat(reads.pause, writes.pause).eq(noise.o)]
        busy = writes.write.any()
        m.d.comb += [
            self.load.ready.eq(~busy),
            storage.write_address.eq(Mux(busy, writes.line, self.load.p.address)),
            storage.write_data.eq(Mux(busy, writes.data, self.load.p.data)),
            storage.write.eq(writes.write),
        ]
        with m.If(~busy & self.load.valid & (self.load.p.address < depth)):
            m.d.comb += storage.write.eq(~0)
        self._dump(m, storage, reads)
        m.d.comb += reads.data.eq(storage.read_data)
        return m

    def _dump(self, m: Module, storage: Any, reads: Any) -> None:
        """Read for the host where the bus does not."""
        m.submodules.dumps = dumps = Outbox(self.dumped.p.shape(), ROUND_TRIP)
        take = Signal()
        m.d.comb += [
            self.dump.ready.eq(~reads.read & dumps.room),
            take.eq(self.dump.valid & self.dump.ready),
            storage.read.eq(reads.read | take),
            storage.read_address.eq(Mux(reads.read, reads.line, self.dump.p.address)),
            dumps.reserve.eq(take),
            dumps.p.data.eq(storage.read_data),
        ]
        m.d.sync += dumps.push.eq(take)
        wiring.connect(m, dumps.o, wiring.flipped(self.dumped))
