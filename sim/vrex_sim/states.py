"""A head's state as lines of device memory and of the host, made from the reference.

What the core leaves in memory after a stream, but for the residents, which depend on what was
selected: a run can begin in the middle of a long stream, and what a run leaves can be compared.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resv_ref import ReSV
from resv_ref.clustering import BITS_MASK, HCTable
from vrex_hw.kvmu.layouts import HEADER, MAP_ENTRY, OPEN_ENTRY
from vrex_sim.packer import Packer
from vrex_sim.placement import Placement, Words
from vrex_sim.ports import Bytes

Image = dict[str, NDArray[Any]]
"""``addresses`` [n] and ``lines`` [n, bytes]."""
Lines = Iterable[tuple[int, Bytes]]
"""A first line and those from there on, [n, bytes]."""
INDEX = 0xFFFF


def new(place: Placement) -> dict[str, Image]:
    """Return the images of heads that hold nothing: a header that is all zero."""
    empty = np.zeros((1, place.regions.line_bytes), np.uint8)
    states = [(place.state(h), empty) for h in range(place.kv_heads)]
    return {"memory": _image(place, states), "link": _image(place, [])}


def images(place: Placement, resv: ReSV) -> dict[str, Image]:
    """Return the images of ``memory`` and ``link`` after what ``resv`` has stored."""
    heads = [_Head(place, resv, h) for h in range(place.kv_heads)]
    return {
        "memory": _image(place, (part for head in heads for part in head.state())),
        "link": _image(place, (part for head in heads for part in head.host())),
    }


def _image(place: Placement, parts: Lines) -> Image:
    found = list(parts)
    none = np.zeros((0, place.regions.line_bytes), np.uint8)
    addresses = [np.arange(first, first + len(lines)) for first, lines in found]
    return {
        "addresses": np.concatenate([np.zeros(0, np.int64), *addresses]),
        "lines": np.concatenate([none, *(lines for _, lines in found)]),
    }


class _Head:
    """One KV head of a stream, in lines."""

    def __init__(self, place: Placement, resv: ReSV, head: int) -> None:
        if resv.cache is None:
            raise ValueError("the stream has no values: give v in every frame")
        self._place, self._regions, self._head = place, place.regions, head
        self._table: HCTable = resv.tables[head]
        self._stored, self._sinks = resv.stored, min(resv.stored, resv.params.n_sinks)
        k, v = resv.cache.gather([torch.arange(resv.stored)] * place.kv_heads)
        self._keys, self._values = (_bits(tensor[head]) for tensor in (k, v))

    def state(self) -> Iterator[tuple[int, Bytes]]:
        """Yield the parts of the state that mean something."""
        table, regions, at = self._table, self._regions, self._place.state(self._head)
        counts = [len(members) for members in table.members]
        offsets = np.cumsum([0, *counts]).tolist()
        header = {
            "sealed": table.sealed,
            "opened": len(table),
            "tokens": self._stored,
            "offloaded": offsets[table.sealed],
        }
        yield at, self._pack(HEADER, 1, [header])
        sealed = [{"offset": o, "count": n} for o, n in zip(offsets, counts, strict=False)]
        sealed = sealed[: table.sealed]
        yield at + regions.map, self._pack(MAP_ENTRY, regions.map_lanes, sealed)
        yield from self._open(at)
        side = self._place.config.lxe.side
        padded = np.zeros(-(-table.sealed // side) * side, "<u2")
        padded[: table.sealed] = counts[: table.sealed]
        yield at + regions.counts, padded.view(np.uint8).reshape(-1, regions.line_bytes)
        yield from self._means(at)
        yield from self._slot(at + regions.sinks, list(range(self._sinks)))

    def host(self) -> Iterator[tuple[int, Bytes]]:
        """Yield the sealed clusters, token by token, key then value."""
        tokens = [t for members in self._table.members[: self._table.sealed] for t in members]
        pairs = np.stack([self._keys[tokens], self._values[tokens]], 1)
        yield self._place.host(self._head), self._place.lines(pairs)

    def _open(self, at: int) -> Iterator[tuple[int, Bytes]]:
        """Yield the open clusters' entries and slots."""
        table, regions = self._table, self._regions
        slots = self._place.config.kvmu.window_slots
        entries: list[dict[str, int]] = [{} for _ in range(slots)]
        for number in range(table.sealed, len(table)):
            members = table.members[number]
            entries[number % slots] = {
                "hash": table.bits[number] & BITS_MASK,
                "first": members[0] & INDEX,
                "count": len(members),
            }
            slot = number % slots << regions.slot_bits
            yield from self._slot(at + regions.window + slot, members)
        yield at + regions.open, self._pack(OPEN_ENTRY, regions.open_lanes, entries)

    def _means(self, at: int) -> Iterator[tuple[int, Bytes]]:
        """Yield the means, a tile's chunk at a time."""
        regions, side = self._regions, self._place.config.lxe.side
        means = self._place.lines(_bits(self._table.means(self._table.sealed)))
        chunks = means.reshape(-1, self._place.chunks, regions.line_bytes)
        for tile, first in enumerate(range(0, len(chunks), side)):
            for chunk in range(self._place.chunks):
                place = (tile << regions.chunk_bits | chunk) * side
                yield at + regions.means + place, chunks[first : first + side, chunk]

    def _slot(self, at: int, tokens: list[int]) -> Iterator[tuple[int, Bytes]]:
        """Yield a slot's lines: keys, then values, chunk by chunk."""
        regions = self._regions
        for value, tensor in enumerate((self._keys, self._values)):
            lines = self._place.lines(tensor[tokens])
            chunks = lines.reshape(-1, self._place.chunks, regions.line_bytes)
            for chunk in range(self._place.chunks):
                place = (value << regions.chunk_bits | chunk) << regions.token_bits
                yield at + place, chunks[:, chunk]

    def _pack(self, layout: Any, lanes: int, entries: list[dict[str, int]]) -> Bytes:
        """Return entries, ``lanes`` a line, as lines; the last one is filled with zeros."""
        packer, size = Packer(layout), self._regions.line_bytes
        width = size // lanes
        packed = b"".join(packer.pack(entry).to_bytes(width, "little") for entry in entries)
        return np.frombuffer(packed + bytes(-len(packed) % size), np.uint8).reshape(-1, size)


def _bits(tensor: torch.Tensor) -> Words:
    """Return the bits of a bfloat16 tensor."""
    return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
