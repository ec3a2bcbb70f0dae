"""AXI4, AXI4-Lite and AXI4-Stream as Amaranth signatures, and the wires of a stream's handshake.

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
    """What BRESP and RRESP answer; bit 1 is set in an error."""

    OKAY = 0
    SLVERR = 2
    DECERR = 3
    """There is nothing at this address."""


RESPONSE_BITS = 2
INCREMENT = 1
"""AxBURST of a burst whose addresses ascend."""
PAGE = 4096
"""Bytes; no burst crosses a multiple of it."""
LONGEST = 256
"""Most beats of a burst."""


class Signature(wiring.Signature):
    """AXI4 seen from the manager (flip it for a subordinate).

    ``data_bytes`` of a beat, a power of two from 1 to 128; ``address_bits`` of byte address;
    ``id_bits`` of every ID, 1 or more. ``read`` and ``write`` can leave channels out: AR and R, or
    AW, W and B. AxLOCK, AxCACHE, AxPROT, AxQOS and AxREGION are not there, as nothing here needs
    them: a system that does ties them to constants. Raises :class:`ValueError`.
    """

    def __init__(
        self,
        data_bytes: int,
        address_bits: int,
        id_bits: int,
        *,
        read: bool = True,
        write: bool = True,
    ) -> None:
        """Make the five channels, or those of one direction."""
        if data_bytes not in (1, 2, 4, 8, 16, 32, 64, 128):
            raise ValueError(f"data_bytes is {data_bytes!r}: it must be a power of two up to 128")
        if not 1 <= address_bits <= 64 or id_bits < 1:
            raise ValueError(f"{address_bits!r} address bits and {id_bits!r} ID bits cannot be")
        self._data_bytes, self._address_bits, self._id_bits = data_bytes, address_bits, id_bits
        address = {"id": id_bits, "addr": address_bits, "len": 8, "size": 3, "burst": 2}
        data = {"data": 8 * data_bytes}
        answer = {"id": id_bits, "resp": RESPONSE_BITS}
        members: dict[str, Any] = {}
        if write:
            strobed = {**data, "strb": data_bytes, "last": 1}
            members |= {**_channel("aw", Out, address), **_channel("w", Out, strobed)}
            members |= _channel("b", In, answer)
        if read:
            members |= _channel("ar", Out, address)
            members |= _channel("r", In, {**answer, **data, "last": 1})
        super().__init__(members)

    @property
    def data_bytes(self) -> int:
        """Bytes of a beat."""
        return self._data_bytes

    @property
    def address_bits(self) -> int:
        """Bits of byte address."""
        return self._address_bits

    @property
    def id_bits(self) -> int:
        """Bits of an ID."""
        return self._id_bits


def _channel(channel: str, flow: Any, payload: dict[str, int]) -> dict[str, Any]:
    members = {channel + name: flow(bits) for name, bits in payload.items()}
    return {**members, f"{channel}valid": flow(1), f"{channel}ready": flow(1).flip()}


def pass_on(manager: Any, outer: Any) -> list[Any]:
    """Return the wires from a ``manager`` to ``outer``, which takes its place.

    Only one of them need have all channels: so one that reads and one that writes share a port,
    and a subordinate hands a port (flipped) to two that do the work.
    """
    wires = []
    for name, member in manager.signature.members.items():
        if name in outer.signature.members:
            here, there = getattr(manager, name), getattr(outer, name)
            wires.append(there.eq(here) if member.flow is Out else here.eq(there))
    return wires


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
            members |= _channel(channel, flow, payload)
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
