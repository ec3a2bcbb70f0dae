"""Where things lie in device memory and on the host: the map that hardware and host share.

Everything is counted in lines of ``2 * lxe.side`` bytes, one row of the LXE's matrix, which is a
*chunk* of a key or value. A KV head of a layer has a *state* of :attr:`Regions.state_lines` lines:

| part | what it holds |
| --- | --- |
| header | a line: :data:`~vrex_hw.kvmu.layouts.HEADER` |
| map | :data:`~vrex_hw.kvmu.layouts.MAP_ENTRY` of every sealed cluster, by number |
| open | :data:`~vrex_hw.kvmu.layouts.OPEN_ENTRY` of the open ones, by number modulo the slots |
| counts | token counts of the sealed clusters, 16 bits each: a line for each tile of means |
| means | Key_cluster of the sealed clusters: tile by tile, chunk by chunk, row by row |
| sinks | a slot |
| window | a slot for each open cluster, by number modulo the slots |
| resident | slots of fetched clusters that stay |

A *slot* holds keys, then values, of up to ``slot_tokens`` tokens: chunk by chunk, so that a tile of
the DPE is read in bursts. On the host a head's sealed clusters lie one behind the other, token by
token, in each its key, then its value: adjacent clusters make one request. Our decision.
"""

from dataclasses import dataclass

from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import MAP_ENTRY, OPEN_ENTRY

JOB_BYTES = 64


@dataclass(frozen=True)
class Regions:
    """Sizes and offsets, in lines, for one configuration."""

    config: Config

    @property
    def line_bytes(self) -> int:
        """Bytes of a line."""
        return 2 * self.config.lxe.side

    @property
    def line_bits(self) -> int:
        """Bits of a line."""
        return 8 * self.line_bytes

    @property
    def chunk_bits(self) -> int:
        """Bits of a chunk's number: log2 of the chunks of the largest head dimension."""
        return bits_for(self.config.chunks - 1) if self.config.chunks > 1 else 0

    @property
    def token_bits(self) -> int:
        """Bits of a token's place in its slot."""
        return exact_log2(self.config.kvmu.slot_tokens)

    @property
    def slot_bits(self) -> int:
        """Log2 of a slot's lines: {value, chunk, token} is a line's place in it."""
        return 1 + self.chunk_bits + self.token_bits

    @property
    def job_lines(self) -> int:
        """Lines of a job in the ring: 64 bytes, whole lines."""
        return -(-JOB_BYTES // self.line_bytes)

    @property
    def map_lanes(self) -> int:
        """Entries of the map in a line."""
        return self.line_bits // MAP_ENTRY.size

    @property
    def open_lanes(self) -> int:
        """Entries of open clusters in a line."""
        return self.line_bits // OPEN_ENTRY.size

    @property
    def map_lines(self) -> int:
        """Lines of the map."""
        return self.config.wtu.entries // self.map_lanes

    @property
    def open_lines(self) -> int:
        """Lines of the open clusters' entries."""
        return self.config.kvmu.window_slots // self.open_lanes

    @property
    def tiles(self) -> int:
        """Tiles of means."""
        return -(-self.config.wtu.entries // self.config.lxe.side)

    @property
    def map(self) -> int:
        """First line of the map; the header is line 0."""
        return 1

    @property
    def open(self) -> int:
        """First line of the open clusters' entries."""
        return self.map + self.map_lines

    @property
    def counts(self) -> int:
        """First line of the token counts."""
        return self.open + self.open_lines

    @property
    def means(self) -> int:
        """First line of the means."""
        return self.counts + self.tiles

    @property
    def sinks(self) -> int:
        """First line of the sinks' slot: the first multiple of a slot behind the means."""
        end = self.means + (self.tiles * self.config.lxe.side << self.chunk_bits)
        return -(-end >> self.slot_bits << self.slot_bits)

    @property
    def window(self) -> int:
        """First line of the open clusters' slots."""
        return self.sinks + (1 << self.slot_bits)

    @property
    def resident(self) -> int:
        """First line of the resident slots."""
        return self.window + (self.config.kvmu.window_slots << self.slot_bits)

    @property
    def state_lines(self) -> int:
        """Lines of a head's state; its first line's number must be a multiple of a slot's lines."""
        return self.resident + (self.config.kvmu.resident_slots << self.slot_bits)

    @property
    def transient_lines(self) -> int:
        """Lines of the core's two banks of slots for clusters that are fetched and do not stay."""
        return 2 * self.config.wtu.entries << self.slot_bits
