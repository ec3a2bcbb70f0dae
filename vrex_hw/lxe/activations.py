"""The activation memory: rows of two commands, so that one is filled while the other is used."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import Config
from vrex_hw.lxe.layouts import BF16, COLUMN_BITS, Layouts


class Activations(wiring.Component):
    """Keeps a command's rows, and for each row how many columns it attends.

    ``command``: rows and dimension of each, in order; ``activation``: their beats. ``ready``
    counts the rows that are there of the command in use, from 0 again when ``freed`` pulses. The
    chunk of a ``row`` appears on ``data`` and its limit on ``limit`` one cycle later. A beat a
    cycle; a command is taken while the one before it is in use.

    Source: our decision; the memory is part of the paper's 384 KB.
    """

    def __init__(self, config: Config) -> None:
        """Size the memories by ``config``."""
        self._config = config
        layouts = Layouts(config)
        self._chunk_bits = bits_for(config.chunks - 1)
        rows = bits_for(config.lxe.rows)
        super().__init__(
            {
                "command": In(stream.Signature(layouts.command)),
                "activation": In(stream.Signature(layouts.activation)),
                "row": In(rows),
                "chunk": In(self._chunk_bits),
                "data": Out(data.ArrayLayout(BF16, config.lxe.side)),
                "limit": Out(COLUMN_BITS),
                "ready": Out(rows),
                "freed": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Write rows into one bank, read them from the other or from those that are there."""
        m = Module()
        config, shift = self._config, exact_log2(self._config.lxe.side)
        depth = 2 * config.lxe.rows
        m.submodules.rows = rows = Memory(
            shape=self.data.shape(), depth=depth << self._chunk_bits, init=[]
        )
        m.submodules.limits = limits = Memory(shape=COLUMN_BITS, depth=depth, init=[])
        row_in, limit_in = rows.write_port(), limits.write_port()
        row_out, limit_out = rows.read_port(), limits.read_port()

        filling, using, used = Signal(), Signal(), Signal(2)
        row, chunk = Signal.like(self.row), Signal.like(self.chunk)
        counts = [Signal.like(self.ready, name=f"count{bank}") for bank in range(2)]
        command = self.command.p
        last_chunk = chunk == ((command.dimension - 1) >> shift)[: self._chunk_bits]
        take, row_end = Signal(), Signal()
        m.d.comb += [
            self.activation.ready.eq(self.command.valid & ~used[1]),
            take.eq(self.activation.ready & self.activation.valid),
            row_end.eq(take & last_chunk),
            self.command.ready.eq(row_end & (row == command.rows - 1)),
            row_in.en.eq(take),
            row_in.addr.eq(Cat(chunk, filling, row)),
            row_in.data.eq(self.activation.p.data),
            limit_in.en.eq(take),
            limit_in.addr.eq(Cat(filling, row)),
            limit_in.data.eq(self.activation.p.limit),
            row_out.addr.eq(Cat(self.chunk, using, self.row)),
            limit_out.addr.eq(Cat(using, self.row)),
            self.data.eq(row_out.data),
            self.limit.eq(limit_out.data),
            self.ready.eq(Array(counts)[using]),
        ]
        m.d.sync += used.eq(used + self.command.ready - self.freed)
        with m.If(take):
            m.d.sync += chunk.eq(Mux(last_chunk, 0, chunk + 1))
        with m.If(row_end):
            m.d.sync += row.eq(Mux(self.command.ready, 0, row + 1))
        with m.If(self.command.ready):
            m.d.sync += filling.eq(~filling)
        with m.If(self.freed):
            m.d.sync += using.eq(~using)
        for bank, count in enumerate(counts):
            with m.If(self.freed & (using == bank)):
                m.d.sync += count.eq(0)
            with m.Elif(row_end & (filling == bank)):
                m.d.sync += count.eq(row + 1)
        return m
