"""AXI4-Lite and AXI4-Stream as Amaranth signatures, with the two wires a stream's handshake takes.

Names and rules are those of AMBA's AXI4 and AXI4-Stream specifications (Arm IHI 0022 and IHI 0051).
Members are lower-case; a port name in emitted Verilog is the interface's name, ``_``, the member,
which is what bus tools and cocotbext-axi's ``from_prefix`` look for.
"""

import enum
from typing import Any

from amaranth import Shape
from amaranth.hdl import ShapeLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Response(enum.IntEnum):
    """The two answers of BRESP and RRESP that a register block gives."""

    OKAY = 0
    SLVERR = 2


RESPONSE_BITS = 2


class LiteSignature(wiring.Signature):
    """AXI4-Lite with 32-bit data, seen from the manager (flip it for a subordinate).

    ``address_bits`` counts byte addresses, 2 to 32. Raises :class:`ValueError` outside of that.
    """

    def __init__(self, address_bits: int) -> None:
        """Make the five channels for ``address_bits`` bits of byte address."""
        if not 2 <= address_bits <= 32:
            raise ValueError(f"address_bits is {address_bits!r}: it must be from 2 to 32")
        self._address_bits = address_bits
        members: dict[str, Any] = {}
        for channel, flow, payload in (
            ("aw", Out, {"addr": address_bits, "prot": 3}),
            ("w", Out, {"data": 32, "strb": 4}),
            ("b", In, {"resp": RESPONSE_BITS}),
            ("ar", Out, {"addr": address_bits, "prot": 3}),
            ("r", In, {"data": 32, "resp": RESPONSE_BITS}),
        ):
            members |= {channel + name: flow(bits) for name, bits in payload.items()}
            members[channel + "valid"] = flow(1)
            members[channel + "ready"] = flow(1).flip()
        super().__init__(members)

    @property
    def address_bits(self) -> int:
        """Bits of byte address."""
        return self._address_bits


class StreamSignature(wiring.Signature):
    """AXI4-Stream seen from the transmitter (flip it for a receiver).

    ``data`` is the shape of TDATA, a whole number of bytes (its first field is in the lowest
    bits); ``last`` adds TLAST and ``keep`` TKEEP. Raises :class:`ValueError` for a width that
    is not a whole number of bytes.
    """

    def __init__(self, data: ShapeLike, *, last: bool = False, keep: bool = False) -> None:
        """Make TDATA, TVALID, TREADY and what else is asked for."""
        width = Shape.cast(data).width
        if width % 8 or not width:
            raise ValueError(f"TDATA is {width} bits wide: it must be whole bytes")
        self._data = data
        members: dict[str, Any] = {"tdata": Out(data), "tvalid": Out(1), "tready": In(1)}
        if last:
            members["tlast"] = Out(1)
        if keep:
            members["tkeep"] = Out(width // 8)
        super().__init__(members)

    @property
    def data(self) -> ShapeLike:
        """Shape of TDATA."""
        return self._data


def receive(axis: Any, sink: Any) -> list[Any]:
    """Return the wires of the handshake from AXI4-Stream ``axis`` into stream ``sink``."""
    return [sink.valid.eq(axis.tvalid), axis.tready.eq(sink.ready)]


def send(source: Any, axis: Any) -> list[Any]:
    """Return the wires of the handshake from stream ``source`` into AXI4-Stream ``axis``."""
    return [axis.tvalid.eq(source.valid), source.ready.eq(axis.tready)]
