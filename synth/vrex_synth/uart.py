"""A serial transmitter, and a reporter that repeats one of a few texts with numbers in them."""

from collections.abc import Sequence
from typing import Any

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

SLOT = 128
"""Characters that the reporter's memory keeps for each text, the terminating zero included."""
DIGIT = 0x80
"""Character codes from here on stand for hexadecimal digit ``code - DIGIT`` of the value."""


class Transmitter(wiring.Component):
    """Sends bytes on a serial line: a start bit, eight data bits lowest first, a stop bit.

    Takes a byte every ``10 * divisor`` cycles. ``divisor``: clock cycles a bit, 2 or more.
    """

    def __init__(self, divisor: int) -> None:
        """Raise :class:`ValueError` if ``divisor`` is below 2."""
        if divisor < 2:
            raise ValueError(f"divisor is {divisor!r}: it must be 2 or more")
        self._divisor = divisor
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "tx": Out(1, init=1),
            }
        )

    @property
    def divisor(self) -> int:
        """Clock cycles a bit."""
        return self._divisor

    def elaborate(self, platform: Any) -> Module:
        """Shift a frame of ten bits out."""
        m = Module()
        frame = Signal(10, init=(1 << 10) - 1)
        bits_left = Signal(range(11))
        cycles_left = Signal(range(self._divisor))
        m.d.comb += [self.tx.eq(frame[0]), self.i.ready.eq(bits_left == 0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                frame.eq((1 << 9) | (self.i.payload << 1)),
                bits_left.eq(10),
                cycles_left.eq(self._divisor - 1),
            ]
        with m.Elif((cycles_left == 0) & (bits_left != 0)):
            m.d.sync += [
                frame.eq((frame >> 1) | (1 << 9)),
                bits_left.eq(bits_left - 1),
                cycles_left.eq(self._divisor - 1),
            ]
        with m.Elif(bits_left != 0):
            m.d.sync += cycles_left.eq(cycles_left - 1)
        return m


def encode(text: str) -> list[int]:
    """Return the codes of ``text``: ASCII, and each ``{n}`` as digit n of the value (0 lowest)."""
    codes: list[int] = []
    for index, part in enumerate(text.replace("}", "{").split("{")):
        codes += [DIGIT + int(part)] if index % 2 else part.encode("ascii")
    if len(codes) >= SLOT:
        raise ValueError(f"text {text!r} has {len(codes)} characters: at most {SLOT - 1} fit")
    return codes


def digits(low: int, count: int) -> str:
    """Return the placeholders of ``count`` hexadecimal digits, the highest first."""
    return "".join(f"{{{n}}}" for n in reversed(range(low, low + count)))


class Reporter(wiring.Component):
    """Sends text ``message`` (an index into ``texts``) again every ``pause`` cycles.

    ``value`` gives its digits; both may change at any time, a text begun goes on with the index
    that it began with. The texts are as :func:`encode` takes them.
    """

    def __init__(self, texts: Sequence[str], value_bits: int, pause: int) -> None:
        """Raise :class:`ValueError` for a text that is too long."""
        self._codes = [encode(text) for text in texts]
        self._pause = pause
        super().__init__(
            {
                "message": In(range(len(texts))),
                "value": In(value_bits),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Read one character at a time, put its digit in, and hand it on."""
        m = Module()
        init = [code for codes in self._codes for code in codes + [0] * (SLOT - len(codes))]
        m.submodules.texts = texts = memory.Memory(shape=8, depth=len(init), init=init)
        read = texts.read_port()
        message = Signal.like(self.message)
        place = Signal(ceil_log2(SLOT))
        pause = Signal(range(self._pause + 1))
        code, nibble, digit = Signal(8), Signal(4), Signal(8)
        nibbles = Array(self.value[low : low + 4] for low in range(0, len(self.value), 4))
        m.d.comb += read.addr.eq(message * SLOT + place)
        m.d.comb += digit.eq(Mux(nibble < 10, nibble + ord("0"), nibble + (ord("a") - 10)))
        with m.FSM():
            with m.State("pause"):
                m.d.sync += [pause.eq(pause + 1), message.eq(self.message), place.eq(0)]
                with m.If(pause == self._pause):
                    m.d.sync += pause.eq(0)
                    m.next = "read"
            with m.State("read"):
                m.next = "take"
            with m.State("take"):
                m.d.sync += code.eq(read.data)
                m.next = "look up"
            with m.State("look up"):
                m.d.sync += nibble.eq(nibbles[code[:7]])
                m.next = "pause"
                with m.If(code != 0):
                    m.next = "form"
            with m.State("form"):
                m.d.sync += self.o.valid.eq(1)
                m.d.sync += self.o.payload.eq(Mux(code[7], digit, code))
                m.next = "send"
            with m.State("send"), m.If(self.o.ready):
                m.d.sync += [self.o.valid.eq(0), place.eq(place + 1)]
                m.next = "read"
        return m
