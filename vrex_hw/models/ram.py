"""A RAM of any size in emitted Verilog: Amaranth would write an initial value for every word."""

from importlib import resources
from types import SimpleNamespace
from typing import Any

from amaranth import ClockSignal, Instance, Module, Signal
from amaranth.lib.memory import Memory
from amaranth.utils import ceil_log2

from vrex_hw.hierarchy import Library

MODULE = "vrex_ram"
"""The Verilog module, ``ram.v`` beside this file."""


def ram(
    m: Module, platform: Any, name: str, width: int, depth: int, grain: int = 8
) -> SimpleNamespace:
    """Put a RAM of ``depth`` words of ``width`` bits into ``m`` as ``name``; return its ports.

    Drive ``write`` (a bit for every ``grain`` bits of a word), ``write_address``, ``write_data``,
    ``read`` and ``read_address``; ``read_data`` is the word one cycle after ``read``, as it was
    before a write of that cycle, and stays until the next read. ``depth`` is 2 or more, ``width``
    a multiple of ``grain``. What was never written may read as anything.

    In emitted Verilog it is an instance of ``vrex_ram``, whose text comes once
    (:func:`vrex_hw.hierarchy.convert`); anywhere else, in Amaranth's simulator and in proofs, a
    memory of Amaranth: keep it small there.
    """
    if width % grain or depth < 2:
        raise ValueError(f"a RAM of {depth} words of {width} bits in grains of {grain} cannot be")
    address = ceil_log2(depth)
    inputs = {
        "write": width // grain,
        "write_address": address,
        "write_data": width,
        "read": 1,
        "read_address": address,
    }
    ports = {port: Signal(bits, name=f"{name}_{port}") for port, bits in inputs.items()}
    data = Signal(width, name=f"{name}_read_data")
    if isinstance(platform, Library):
        platform.texts[MODULE] = (resources.files(__package__) / "ram.v").read_text()
        sizes = {"WIDTH": width, "DEPTH": depth, "GRAIN": grain, "ADDRESS": address}
        m.submodules[name] = Instance(
            MODULE,
            i_clk=ClockSignal(),
            o_read_data=data,
            **{f"p_{parameter}": value for parameter, value in sizes.items()},
            **{f"i_{port}": signal for port, signal in ports.items()},
        )
    else:
        m.submodules[name] = memory = Memory(shape=width, depth=depth, init=[])
        write, read = memory.write_port(granularity=grain), memory.read_port()
        m.d.comb += [
            write.en.eq(ports["write"]),
            write.addr.eq(ports["write_address"]),
            write.data.eq(ports["write_data"]),
            read.en.eq(ports["read"]),
            read.addr.eq(ports["read_address"]),
            data.eq(read.data),
        ]
    return SimpleNamespace(**ports, read_data=data)
