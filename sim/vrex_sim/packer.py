"""Packs values into the bits of Amaranth shapes and back, fast enough for every beat of a run."""

from typing import Any

from amaranth import Shape
from amaranth.lib import data


class Packer:
    """Packs and unpacks values of one shape, with the offsets taken beforehand.

    A structure is a dictionary (a missing field is 0), an array a list, everything else an
    integer. Raises ValueError for a value that does not fit or a field that does not exist.
    """

    def __init__(self, shape: Any) -> None:
        """``shape`` is anything that Amaranth takes for a shape or a layout."""
        self.width = Shape.cast(shape).width
        self._signed = Shape.cast(shape).signed
        self._fields: dict[Any, tuple[int, Packer]] | None = None
        self._array = False
        if not isinstance(shape, int | Shape):
            try:
                layout = data.Layout.cast(shape)
            except TypeError:
                return
            self._array = isinstance(layout, data.ArrayLayout)
            self._fields = {k: (f.offset, Packer(f.shape)) for k, f in layout}

    def pack(self, value: Any) -> int:
        """Return the bits of ``value``."""
        if self._fields is None:
            bits = int(value)
            low = -(1 << self.width - 1) if self._signed else 0
            if not low <= bits < low + (1 << self.width):
                raise ValueError(f"{bits} does not fit into {self.width} bits")
            return bits & (1 << self.width) - 1
        bits = 0
        for key, item in enumerate(value) if self._array else value.items():
            offset, packer = self._fields[key]
            bits |= packer.pack(item) << offset
        return bits

    def unpack(self, bits: int) -> Any:
        """Return the value that ``bits`` hold."""
        if self._fields is None:
            bits &= (1 << self.width) - 1
            negative = self._signed and bits >> self.width - 1
            return bits - (1 << self.width) if negative else bits
        items = {k: p.unpack(bits >> offset) for k, (offset, p) in self._fields.items()}
        return list(items.values()) if self._array else items
