"""The handshakes of a unit, whatever they are called: streams, AXI4-Stream, AXI4-Lite."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw import axi

LITE_CHANNELS = {"aw": Out, "w": Out, "b": In, "ar": Out, "r": In}
"""AXI4-Lite's channels as the manager sees them."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One handshake: ``payload`` moves in a cycle with ``valid`` and ``ready``."""

    name: str
    inward: bool
    """Whether the payload goes into the unit."""
    valid: Any
    ready: Any
    payload: Any


def channels(unit: wiring.Component) -> tuple[list[Channel], list[Any]]:
    """Return every handshake of ``unit``, and its inputs that are no handshake."""
    found: list[Channel] = []
    inputs: list[Any] = []
    for name, member in unit.signature.members.items():
        port = getattr(unit, name)
        if member.is_port:
            inputs += [port] if member.flow is In else []
            continue
        ports = [(name, port)]
        for size in member.dimensions:
            ports = [(f"{n}[{k}]", p[k]) for n, p in ports for k in range(size)]
        for label, interface in ports:
            found += _channels_of(label, interface, member.signature)
    return found, inputs


def _channels_of(name: str, port: Any, signature: Any) -> Iterator[Channel]:
    """Yield the channels of one interface; the signature of an input comes flipped."""
    inward = isinstance(signature, wiring.FlippedSignature)
    signature = signature.flip() if inward else signature
    if isinstance(signature, stream.Signature):
        yield Channel(
            name=name, inward=inward, valid=port.valid, ready=port.ready, payload=port.payload
        )
    elif isinstance(signature, axi.StreamSignature):
        rest = [m for m in signature.members if m not in ("tvalid", "tready")]
        yield _axi_channel(name, port, "t", rest, inward)
    elif isinstance(signature, axi.LiteSignature):
        for prefix, flow in LITE_CHANNELS.items():
            handshake = (f"{prefix}valid", f"{prefix}ready")
            others = [p for p in LITE_CHANNELS if p != prefix and p.startswith(prefix)]
            rest = [
                m
                for m in signature.members
                if m.startswith(prefix) and m not in handshake and not m.startswith(tuple(others))
            ]
            towards = inward if flow is Out else not inward
            yield _axi_channel(f"{name}.{prefix}", port, prefix, rest, towards)
    else:
        raise ValueError(f"port {name} is neither a stream nor AXI: {signature!r}")


def _axi_channel(name: str, port: Any, prefix: str, rest: list[str], inward: bool) -> Channel:
    return Channel(
        name=name,
        inward=inward,
        valid=getattr(port, f"{prefix}valid"),
        ready=getattr(port, f"{prefix}ready"),
        payload=Cat(Value.cast(getattr(port, member)) for member in rest),
    )
