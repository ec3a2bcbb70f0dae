"""Modules that are emitted once and instantiated many times.

Amaranth emits every submodule anew, so 64 equal trees would be 64 modules. Here a component that
stands in many places is put there with :func:`place`: when :func:`convert` emits Verilog, each
place becomes an instance and the component's own module is emitted once; anywhere else (Amaranth's
simulator, proofs) it is an ordinary submodule.
"""

from collections.abc import Callable
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

OPTIONS = {"emit_src": False, "strip_internal_attrs": True}
"""No paths of this machine and no attributes of Amaranth's own in what is emitted."""


class Library:
    """The modules that are emitted once; stands where Amaranth passes on a platform."""

    def __init__(self) -> None:
        """Start empty."""
        self.modules: dict[str, wiring.Component] = {}


def place(m: Module, platform: Any, name: str, module: str, make: Callable[[], Any]) -> Any:
    """Put the component that ``make`` returns into ``m`` as ``name``; return its interface.

    ``module`` names the component's module: it must tell the component's class and sizes apart
    from all others. The component must have registers (a clock). Connect to the ports of what is
    returned; anything else that the component has is not there.
    """
    if not isinstance(platform, Library):
        m.submodules[name] = unit = make()
        return unit
    if module not in platform.modules:
        platform.modules[module] = make()
    signature = platform.modules[module].signature
    interface = signature.create(path=(name,))
    connections: dict[str, Any] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
    for path, member, value in signature.flatten(interface):
        direction = "i" if member.flow == In else "o"
        connections[f"{direction}_{'__'.join(map(str, path))}"] = Value.cast(value)
    m.submodules[name] = Instance(module, **connections)
    return interface


def convert(unit: wiring.Component, name: str, ports: dict[str, Any] | None = None) -> str:
    """Return Verilog of ``unit`` as module ``name``, with every module that it places, once each.

    ``ports`` gives the top's ports names of their own, as Amaranth's ``convert`` takes them.
    """
    library = Library()
    texts = [verilog.convert(unit, name=name, platform=library, ports=ports, **OPTIONS)]
    done: set[str] = set()
    while missing := library.modules.keys() - done:
        module = min(missing)
        done.add(module)
        body = verilog.convert(library.modules[module], name=module, platform=library, **OPTIONS)
        texts.append(body)
    return "\n".join(texts)
