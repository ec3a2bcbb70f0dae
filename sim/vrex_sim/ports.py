"""The ports of an emitted top, read from its Verilog, and the streams that they make up."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Port:
    """One port; ``input`` seen from the module."""

    name: str
    input: bool
    bits: int

    @property
    def bytes(self) -> int:
        """Whole bytes that hold it."""
        return -(-self.bits // 8)


@dataclass(frozen=True)
class Stream:
    """A valid, a ready and the ports of the payload, whose bytes in this order make a beat.

    ``name`` is what the ports' names begin with: ``i`` for Amaranth's ``i__valid``, and with AXI's
    naming ``s_axis_row`` for ``s_axis_row_tvalid``, ``s_axil_aw`` for ``s_axil_awvalid``. Each
    port takes whole bytes, the first the lowest.
    """

    name: str
    prefix: str
    input: bool
    payload: tuple[Port, ...]

    @property
    def handle(self) -> str:
        """What :mod:`vrex_sim.drivers` calls the stream."""
        return self.prefix.removesuffix("__")

    @property
    def bytes(self) -> int:
        """Bytes of a beat."""
        return sum(port.bytes for port in self.payload)

    @property
    def last_bit(self) -> int:
        """The bit of a beat that ends a packet: that of TLAST, or -1 if every beat is one."""
        at = 0
        for port in self.payload:
            if port.name == f"{self.prefix}last":
                return at
            at += 8 * port.bytes
        return -1

    def check(self, beats: Bytes) -> Bytes:
        """Return ``beats`` [n, bytes] as they must lie in memory; raises ValueError for others."""
        if beats.dtype != np.uint8 or beats.ndim != 2 or beats.shape[1] != self.bytes:
            raise ValueError(
                f"stream {self.name}: beats are {beats.dtype} {list(beats.shape)}, they must be "
                f"uint8 [n, {self.bytes}]"
            )
        end = 0
        for port in self.payload:
            end += port.bytes
            if port.bits % 8 and (beats[:, end - 1] >> port.bits % 8).any():
                raise ValueError(f"stream {self.name}: {port.name} has {port.bits} bits, not more")
        return np.ascontiguousarray(beats)


def read(verilog: str, top: str) -> list[Port]:
    """Return the ports of module ``top`` in the order of their declarations.

    Raises ValueError if it is not there.
    """
    found = re.search(rf"^module \\?{re.escape(top)}\s?\((.*?)^endmodule", verilog, re.M | re.S)
    if found is None:
        raise ValueError(f"no module {top!r} in the Verilog")
    declared = re.findall(r"^\s*(input|output)\s+(?:\[(\d+):0\]\s+)?(\w+)\s*;", found[1], re.M)
    return [
        Port(name, direction == "input", int(high or 0) + 1) for direction, high, name in declared
    ]


def group(ports: list[Port]) -> tuple[list[Stream], list[Port]]:
    """Return the streams that ``ports`` make up, by name, and the ports that are left.

    ``clk`` and ``rst`` are in neither.
    """
    names = {port.name: port for port in ports}
    prefixes = [
        name.removesuffix("valid")
        for name in sorted(names)
        if name.endswith("valid") and name.removesuffix("valid") + "ready" in names
    ]
    payloads: dict[str, list[Port]] = {prefix: [] for prefix in prefixes}
    plain = []
    for port in ports:
        owners = [prefix for prefix in prefixes if port.name.startswith(prefix)]
        if owners:
            payloads[max(owners, key=len)].append(port)
        elif port.name not in ("clk", "rst"):
            plain.append(port)
    streams = [
        Stream(
            _stem(prefix),
            prefix,
            names[f"{prefix}valid"].input,
            tuple(p for p in payload if p.name not in (f"{prefix}valid", f"{prefix}ready")),
        )
        for prefix, payload in payloads.items()
    ]
    return streams, plain


def _stem(prefix: str) -> str:
    """Return the stream's name: its ports' prefix without what joins it to the members."""
    return prefix.removesuffix("_t").rstrip("_")
