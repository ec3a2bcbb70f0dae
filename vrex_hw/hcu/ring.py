"""The rings: cached hashes of the joinable clusters and counts of the open ones, two banks."""

from amaranth.hdl import Cat, Elaboratable, Module, Signal, Value, ValueLike, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.config import HCUConfig
from vrex_hw.hcu.layouts import lane_bits, phase_bits, ring_lanes, ring_write, word_bits


class Ring(wiring.Component):
    """Block RAM of one HCU. Lane l holds the clusters whose number is l modulo the lanes.

    Hash chunks and first index lie at the cluster's number modulo ``config.joinable``, the count
    at its number modulo ``config.open``. A read takes one cycle; one that meets a write to the
    same place returns the old content. ``update`` writes at once, ``load`` when no update does.

    Source: paper (cached-hash memory, 4 KB); the rings and the two banks are our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Size the memories after ``config``."""
        self.config = config
        write = ring_write(config)
        super().__init__(
            {
                "update": In(stream.Signature(write, always_ready=True)),
                "load": In(stream.Signature(write)),
                "bank": In(1),
                "word": In(word_bits(config)),
                "phase": In(phase_bits(config)),
                "count_word": In(word_bits(config)),
                "lanes": Out(ring_lanes(config)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the memories of each lane and the write port that they share."""
        m = Module()
        config = self.config
        write = Signal(ring_write(config))
        enable = Signal()
        m.d.comb += [
            self.load.ready.eq(~self.update.valid),
            enable.eq(self.update.valid | self.load.valid),
            write.eq(self.load.payload),
        ]
        with m.If(self.update.valid):
            m.d.comb += write.eq(self.update.payload)

        lane_part = write.number[: lane_bits(config)]
        write_word = write.number[lane_bits(config) :]
        slots = exact_log2(config.joinable) - lane_bits(config)
        counters = exact_log2(config.open) - lane_bits(config)
        for lane, held in enumerate(self.lanes):
            mine = enable & (lane_part == lane)
            for name, data_in, data_out, word, bits, phases, when in (
                ("hash", write.chunk, held.chunk, self.word, slots, True, write.hashed),
                ("first", write.first, held.first, self.word, slots, False, write.hashed),
                ("count", write.count, held.count, self.count_word, counters, False, 1),
            ):
                low = (write.phase, self.phase) if phases else (Cat(), Cat())
                m.submodules[f"{name}_{lane}"] = _memory(
                    m,
                    data_in=data_in,
                    data_out=data_out,
                    enable=mine & when,
                    write_at=Cat(low[0], write_word[:bits], write.bank),
                    read_at=Cat(low[1], word[:bits], self.bank),
                )
        return m


def _memory(
    m: Module,
    *,
    data_in: Value,
    data_out: Value,
    enable: ValueLike,
    write_at: Value,
    read_at: Value,
) -> Memory:
    """Return a memory as deep as its address reaches, wired to its one write and read port."""
    memory = Memory(shape=unsigned(len(data_in)), depth=1 << len(read_at), init=[])
    write_port = memory.write_port()
    read_port = memory.read_port()
    m.d.comb += [
        write_port.en.eq(enable),
        write_port.addr.eq(write_at),
        write_port.data.eq(data_in),
        read_port.addr.eq(read_at),
        data_out.eq(read_port.data),
    ]
    return memory
