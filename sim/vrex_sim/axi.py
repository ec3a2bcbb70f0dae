"""AXI4-Stream and AXI4-Lite for long runs, made of the lean valid/ready drivers.

:mod:`vrex_sim.kvpu_bus` does the same with cocotbext-axi, which is the independent check.
"""

from typing import Any

from amaranth.lib import data
from cocotb.triggers import Lock

from vrex_sim.drivers import Bench, Sink, Source


def stream_shape(layout: data.Layout, *, last: bool = True, keep: bool = False) -> Any:
    """Return the payload of an AXI4-Stream: ``data``, then ``keep`` (a bit a byte) and ``last``."""
    fields: dict[str, Any] = {"data": layout}
    if keep:
        fields["keep"] = layout.size // 8
    if last:
        fields["last"] = 1
    return data.StructLayout(fields)


def stream_source(
    bench: Bench, name: str, layout: data.Layout, *, last: bool = True, keep: bool = False
) -> Source:
    """Drive the AXI4-Stream input ``name``: ``{"data": ..., "keep": ..., "last": ...}``."""
    return bench.source(f"{name}_t", stream_shape(layout, last=last, keep=keep), split=True)


def stream_sink(bench: Bench, name: str, layout: data.Layout, *, last: bool = True) -> Sink:
    """Take the AXI4-Stream output ``name``: ``{"data": ..., "last": ...}``."""
    return bench.sink(f"{name}_t", stream_shape(layout, last=last), split=True)


class Registers:
    """Reads and writes the 32-bit registers of an AXI4-Lite subordinate, by name.

    Accesses of several coroutines queue up. An answer other than OKAY fails the bench.
    """

    def __init__(self, bench: Bench, name: str, addresses: dict[str, int], bits: int) -> None:
        """Drive the port ``name`` with ``bits`` of address; ``addresses`` names the registers."""
        self._addresses = addresses
        address = data.StructLayout({"addr": bits, "prot": 3})
        read = data.StructLayout({"data": 32, "resp": 2})
        self._aw = bench.source(f"{name}_aw", address, split=True)
        self._w = bench.source(f"{name}_w", data.StructLayout({"data": 32, "strb": 4}), split=True)
        self._b = bench.sink(f"{name}_b", data.StructLayout({"resp": 2}), split=True)
        self._ar = bench.source(f"{name}_ar", address, split=True)
        self._r = bench.sink(f"{name}_r", read, split=True)
        self._lock = Lock()

    async def write(self, **values: int) -> None:
        """Write registers, in the order given; nobody else's access comes between."""
        async with self._lock:
            for name, value in values.items():
                self._aw.send({"addr": self._addresses[name]})
                self._w.send({"data": value, "strb": 0xF})
            for name in values:
                self._check(name, await self._b.beat())

    async def read(self, name: str) -> int:
        """Read one register."""
        async with self._lock:
            self._ar.send({"addr": self._addresses[name]})
            answer = await self._r.beat()
        self._check(name, answer)
        return int(answer["data"])

    def _check(self, name: str, answer: dict[str, int]) -> None:
        if answer["resp"]:
            raise AssertionError(f"register {name} answered with response {answer['resp']}")
