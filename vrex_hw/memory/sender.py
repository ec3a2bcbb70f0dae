"""Lines of many clients, one after the other, as the beats of the W channel."""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import BURST
from vrex_hw.memory.layouts import ID_BITS, Sizes

SENT = data.StructLayout({"client": ID_BITS, "lines": BURST, "last": 1, "outside": 1})
"""A burst whose lines are due."""


class Sender(wiring.Component):
    """Sends the lines of each burst ``i`` from its client's ``line`` as beats ``w``.

    ``sent`` pulses with the client's number and ``last`` as a burst's last beat goes into ``w``,
    which it does only while ``room`` has a bit for the client. Lines of bursts outside are dropped;
    the last one of a request only when the client's answers are all there (``empty``): then
    ``refused`` pulses. Latency 1 cycle from line to beat; a beat a cycle.
    """

    def __init__(self, config: Config, clients: int) -> None:
        """``clients``: 1 to 16."""
        self._sizes, self._clients, side = Sizes(config), clients, config.lxe.side
        # No field for each element: each would become a wire of the emitted Verilog.
        line = data.StructLayout({"data": 16 * side, "mask": side})
        beat = data.StructLayout(
            {"data": 8 * self._sizes.bus_bytes, "strobe": self._sizes.bus_bytes, "last": 1}
        )
        super().__init__(
            {
                "i": In(stream.Signature(SENT)),
                "line": In(stream.Signature(line)).array(clients),
                "w": Out(stream.Signature(beat)),
                "room": In(clients),
                "empty": In(clients),
                "client": Out(ID_BITS),
                "sent": Out(1),
                "last": Out(1),
                "refused": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Count the lines of a burst and the beats of a line."""
        m = Module()
        burst, beats = self.i.p, self._sizes.beats
        line, beat = Signal(BURST), Signal(range(beats))
        there = Array(stream.valid for stream in self.line)[burst.client]
        room, empty = self.room.bit_select(burst.client, 1), self.empty.bit_select(burst.client, 1)
        last_line, free = Signal(), Signal()
        move, drop = Signal(), Signal()
        last_beat = (beat == beats - 1) | burst.outside
        m.d.comb += [
            last_line.eq(line == burst.lines - 1),
            free.eq((~self.w.valid | self.w.ready) & room),
            move.eq(self.i.valid & there & ~burst.outside & free),
            drop.eq(self.i.valid & there & burst.outside & (empty | ~(burst.last & last_line))),
            self.i.ready.eq((move | drop) & last_line & last_beat),
            self.client.eq(burst.client),
            self.last.eq(burst.last),
            self.sent.eq(self.i.ready & ~burst.outside),
            self.refused.eq(self.i.ready & burst.outside & burst.last),
        ]
        for k, stream_ in enumerate(self.line):
            m.d.comb += stream_.ready.eq((move | drop) & last_beat & (burst.client == k))
        with m.If(move & (beats > 1)):
            m.d.sync += beat.eq(beat + 1)
        with m.If((move | drop) & last_beat):
            m.d.sync += line.eq(Mux(last_line, 0, line + 1))
        self._beat(m, move, beat, last_line & last_beat)
        return m

    def _beat(self, m: Module, move: Any, beat: Any, last: Any) -> None:
        """Put the beat that moves into the register of the W channel."""
        bus, client = self._sizes.bus_bytes, self.i.p.client
        payload = Array(stream.p.as_value() for stream in self.line)[client]
        line = self.line[0].p.shape()(payload)
        strobes = Cat(bit.replicate(2) for bit in line.mask)
        with m.If(self.w.ready):
            m.d.sync += self.w.valid.eq(0)
        with m.If(move):
            m.d.sync += [
                self.w.valid.eq(1),
                self.w.p.data.eq(line.data.word_select(beat, 8 * bus)),
                self.w.p.strobe.eq(strobes.word_select(beat, bus)),
                self.w.p.last.eq(last),
            ]
