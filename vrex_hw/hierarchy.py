"""Modules that are emitted once and instantiated many times.

Amaranth emits every submodule anew, so 64 equal trees would be 64 modules. Here a component that
stands in many places is put there with :func:`place`: when :func:`convert` emits Verilog, each
place becomes an instance and the component's own module is emitted once; anywhere else (Amaranth's
simulator, proofs) it is an ordinary submodule.
"""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

OPTIONS = {"emit_src": False, "strip_internal_attrs": True}
"""No paths of this machine and no attributes of Amaranth's own in what is emitted."""


_ZEROS = re.compile(r"^  initial begin\n(?:    \S+\[\d+\] = \d+'[hd]0+;\n)+  end\n", re.M)
"""A memory that starts with zeros: no unit reads what it has not written."""


class Library:
    """The modules that are emitted once; stands where Amaranth passes on a platform."""

    def __init__(self, device: str = "") -> None:
        """Start empty; ``device`` names an FPGA, as Amaranth's platforms do, or is empty."""
        self.device = device
        self.modules: dict[str, wiring.Component] = {}
        self.texts: dict[str, str] = {}
        """Modules that are written in Verilog, by name; whoever instantiates one puts it here."""


def place(m: Module, platform: Any, name: str, module: str, make: Callable[[], Any]) -> Any:
    """Put the component that ``make`` returns into ``m`` as ``name``; return its interface.

    ``module`` names the component's module: it must tell the component's class and sizes apart
    from all others. The component must have registers (a clock), all of them without reset, and
    no ports but plain ones (values and layouts). Connect to the ports of what is returned; nothing
    else may be there.
    """
    if not isinstance(platform, Library):
        m.submodules[name] = unit = make()
        return unit
    if module not in platform.modules:
        platform.modules[module] = make()
    interface = SimpleNamespace()
    connections: dict[str, Any] = {"i_clk": ClockSignal()}
    for port, member in platform.modules[module].signature.members.items():
        # Plain signals: one of a layout would be emitted with a wire for each of its fields.
        signal = Signal(Shape.cast(member.shape), name=f"{name}_{port}")
        layout = isinstance(member.shape, data.Layout)
        setattr(interface, port, member.shape(signal) if layout else signal)
        connections[f"{'i' if member.flow == In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(module, **connections)
    return interface


def convert(
    unit: wiring.Component, name: str, ports: dict[str, Any] | None = None, device: str = ""
) -> str:
    """Return Verilog of ``unit`` as module ``name``, with every module that it places, once each.

    Memories whose words all start with 0 are emitted without a start. Modules written in Verilog
    (:attr:`Library.texts`) come last, once each.

    ``ports`` gives the top's ports names of their own, as Amaranth's ``convert`` takes them;
    ``device``, such as LFE5U-85F, allows cells of that FPGA.
    """
    library = Library(device)
    texts = [_emit(unit, name, library, ports=ports)]
    done: set[str] = set()
    while missing := library.modules.keys() - done:
        module = min(missing)
        done.add(module)
        texts.append(_emit(library.modules[module], module, library, missing_domain=_clock_alone))
    texts += [library.texts[module] for module in sorted(library.texts)]
    return "\n".join(texts)


def _emit(unit: wiring.Component, name: str, library: Library, **more: Any) -> str:
    text = verilog.convert(unit, name=name, platform=library, **more, **OPTIONS)
    return _ZEROS.sub("", text)


def _clock_alone(name: str) -> ClockDomain:
    """Return the domain of a module that stands in many places.

    A reset that nothing uses would be a port of the top that reaches every place: simulators
    evaluate all of them once more for it, each cycle.
    """
    return ClockDomain(name, reset_less=True)
