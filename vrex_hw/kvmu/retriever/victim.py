"""The search for the resident cluster that gives way."""

from typing import Any, NamedTuple

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from vrex_hw.config import Config
from vrex_hw.kvmu.layouts import MAP_ENTRY, PRIORITY
from vrex_hw.kvmu.regions import Regions
from vrex_hw.kvmu.retriever.layouts import lane_bits, live, words_of


class Node(NamedTuple):
    """The best of some neighbouring entries."""

    key: Any
    """The priority; above it 1 if none of them may go."""
    lane: Any
    """Its place among them."""


class VictimScan(wiring.Component):
    """Finds the least priority of the clusters that are resident and not chosen by this job.

    ``start`` begins; it reads the ``sealed`` clusters' words, one a cycle, and ``word`` is what the
    map says one cycle after ``read``. ``done`` pulses with the result: whether there is one
    (``found``), its number (the lowest of equal priority) and its priority, which stay until the
    next start. Latency: the words and 3 + log2(entries of a word) cycles; a tree of comparers with
    a register after each level. There has to be a sealed cluster.
    """

    def __init__(self, config: Config) -> None:
        """Size it for the map of ``config``."""
        regions = Regions(config)
        self._lanes = regions.map_lanes
        super().__init__(
            {
                "start": In(1),
                "sealed": In(16),
                "read": Out(1),
                "address": Out(ceil_log2(regions.map_lines)),
                "word": In(data.ArrayLayout(MAP_ENTRY, self._lanes)),
                "done": Out(1),
                "found": Out(1),
                "number": Out(16),
                "priority": Out(PRIORITY),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the reads, the tree and the best so far."""
        m = Module()
        lanes, bits = self._lanes, lane_bits(self._lanes)
        reading, place = Signal(), Signal(16 - bits)
        last = place + 1 == words_of(self.sealed, lanes)
        m.d.comb += [self.read.eq(reading), self.address.eq(place)]
        with m.If(reading):
            m.d.sync += [place.eq(place + 1), reading.eq(~last)]
        with m.If(self.start):
            m.d.sync += [reading.eq(1), place.eq(0)]

        # What goes along with a word: whether it is one, whether it is the last, which one it is.
        tag = Signal(2 + len(place), name="tag_0")
        m.d.sync += tag.eq(Mux(reading, Cat(1, last, place), 0))
        alive = live(self.sealed, tag[2:], lanes)
        nodes = [self._leaf(lane, alive[lane]) for lane in range(lanes)]
        level = 0
        while len(nodes) > 1:
            level += 1
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [_less(m, f"{level}_{k}", *pair) for k, pair in enumerate(pairs)]
            before, tag = tag, Signal(len(tag), name=f"tag_{level}")
            m.d.sync += tag.eq(before)

        best = Signal(PRIORITY + 1)
        m.d.comb += [self.found.eq(~best[PRIORITY]), self.priority.eq(best[:PRIORITY])]
        with m.If(tag[0] & (nodes[0].key < best)):
            m.d.sync += [best.eq(nodes[0].key), self.number.eq(Cat(nodes[0].lane, tag[2:]))]
        m.d.sync += self.done.eq(tag[0] & tag[1])
        with m.If(self.start):
            m.d.sync += best.eq(1 << PRIORITY)
        return m

    def _leaf(self, lane: int, alive: Any) -> Node:
        entry = self.word[lane]
        may_go = alive & entry.resident & ~entry.chosen
        return Node(Cat(entry.priority, ~may_go), Const(0, 0))


def _less(m: Module, name: str, low: Node, high: Node) -> Node:
    """Return the better of two nodes, a cycle later; the lower one if they are equal."""
    key = Signal(PRIORITY + 1, name=f"key_{name}")
    lane = Signal(len(low.lane) + 1, name=f"lane_{name}")
    takes_high = Signal(name=f"high_{name}")
    m.d.comb += takes_high.eq(high.key < low.key)
    m.d.sync += [
        key.eq(Mux(takes_high, high.key, low.key)),
        lane.eq(Cat(Mux(takes_high, high.lane, low.lane), takes_high)),
    ]
    return Node(key, lane)
