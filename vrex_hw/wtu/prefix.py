"""The part of the sort key that is settled so far."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.wtu.layouts import Layouts


class Prefix(wiring.Component):
    """Holds which keys lie in the crossing bin, and which at its lower end or above.

    Ports
    -----
    octave : take ``bin`` as the position of the weight's leading one (bin 0: weights 0 and 1).
    digit : take ``bin`` as the next ``digit_bits`` bits of the key; past its end they are 0.
        The last digit is the end: the bin is one cluster, and ``position`` may wrap.
    value : the prefix, from the next cycle on.
    """

    def __init__(self, layouts: Layouts) -> None:
        """Take the widths from ``layouts``."""
        self._layouts = layouts
        super().__init__(
            {
                "octave": In(1),
                "digit": In(1),
                "bin": In(range(layouts.bins)),
                "value": Out(layouts.prefix),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """One shift for the bound and one for the mask."""
        m = Module()
        shapes = self._layouts
        bits, step = shapes.key_bits, shapes.config.digit_bits
        bound, mask, position = self.value.bound, self.value.mask, self.value.position
        start = Signal.like(position)
        m.d.comb += start.eq(shapes.index_bits + Mux(self.bin == 0, 1, self.bin))
        with m.If(self.octave):
            m.d.sync += [
                position.eq(start),
                mask.eq(((1 << bits) - 1) << start),
                bound.eq(Mux(self.bin == 0, 0, 1 << start)),
            ]
        with m.Elif(self.digit):
            m.d.sync += [
                position.eq(position - step),
                mask.eq(mask.as_signed() >> step),
                bound.eq(bound | (self.bin << position) >> step),
            ]
        return m
