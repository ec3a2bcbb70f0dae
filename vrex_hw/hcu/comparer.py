"""Compares a token with a word of clusters a step, and keeps the nearest that may be joined."""

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.config import NUMBER_BITS, HCUConfig
from vrex_hw.hcu.layouts import (
    DISTANCE_BITS,
    compare_step,
    decision,
    lane_bits,
    ring_lanes,
    word_bits,
)

GROUP = 16
"""Bits that one stage counts."""


def latency(config: HCUConfig) -> int:
    """Return the cycles from a token's last step to its decision."""
    return 5 + lane_bits(config)


class Comparer(wiring.Component):
    """XOR accumulators and comparator, a pipeline that never stalls.

    A step issued in cycle 0 meets its word of the ring in cycle 1 and goes through XOR, popcount,
    accumulation over the phases, log2(lanes) levels of a tree and the best so far; the decision
    is there ``latency(config)`` cycles after the token's last step. Only a strictly smaller
    distance replaces the best, and of two equal lanes the tree keeps the lower, so that ties go
    to the lowest number. ``passed`` names words that no later token of the job can join.

    Source: paper (N_HCU_h accumulators of N_HCU_w bits); best match is our decision.
    """

    def __init__(self, config: HCUConfig) -> None:
        """Size the ports after ``config``."""
        self.config = config
        super().__init__(
            {
                "step": In(stream.Signature(compare_step(config), always_ready=True)),
                "chunk": In(config.width),
                "index": In(NUMBER_BITS),
                "lanes": In(ring_lanes(config)),
                "threshold": In(DISTANCE_BITS),
                "reach": In(NUMBER_BITS),
                "cap": In(NUMBER_BITS),
                "passed": Out(stream.Signature(word_bits(config), always_ready=True)),
                "decision": Out(stream.Signature(decision(config), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Elaboratable:
        """Build the pipeline, stage after stage."""
        m = Module()
        config = self.config
        flags = _delay(m, self.step, "read")
        token_chunk = Signal(config.width)
        read_index = Signal(NUMBER_BITS)
        m.d.sync += [token_chunk.eq(self.chunk), read_index.eq(self.index)]

        index = Signal(NUMBER_BITS)
        m.d.sync += index.eq(read_index)
        xor_flags = _delay(m, flags, "xor")
        count_flags = _delay(m, xor_flags, "count")
        sum_flags = _delay(m, count_flags, "sum")

        nodes = []
        for i, held in enumerate(self.lanes):
            node = Signal(self._node(0), name=f"node_{i}")
            joinable, passed = self._lane(m, i, held, token_chunk, index, count_flags, node)
            m.d.comb += node.ok.eq(sum_flags.p.mask[i] & joinable)
            nodes.append(node)
        m.d.comb += [
            self.passed.valid.eq(sum_flags.valid & sum_flags.p.mask[-1] & passed),
            self.passed.payload.eq(sum_flags.p.word),
        ]
        level_flags = sum_flags
        for level in range(1, lane_bits(config) + 1):
            nodes = [
                self._least(m, level, nodes[i], nodes[i + 1], f"least_{level}_{i // 2}")
                for i in range(0, len(nodes), 2)
            ]
            level_flags = _delay(m, level_flags, f"tree_{level}")
        self._keep(m, level_flags, nodes[0])
        return m

    def _node(self, level: int) -> data.StructLayout:
        """Return the layout of the winner among 2^level lanes."""
        return data.StructLayout(
            {"ok": 1, "distance": DISTANCE_BITS, "lane": level, "count": NUMBER_BITS}
        )

    def _lane(
        self,
        m: Module,
        i: int,
        held: Value,
        token_chunk: Value,
        index: Value,
        flags: stream.Interface,
        node: Value,
    ) -> tuple[Value, Value]:
        """Build one accumulator; return whether its cluster is joinable, and whether passed."""
        config = self.config
        xor = Signal(config.width, name=f"xor_{i}")
        first = Signal(NUMBER_BITS, name=f"first_{i}")
        counts = [Signal(NUMBER_BITS, name=f"count_{i}_{stage}") for stage in range(3)]
        m.d.sync += [xor.eq(held.chunk ^ token_chunk), first.eq(held.first)]
        for count, before in zip(counts, [held.count, *counts], strict=False):
            m.d.sync += count.eq(before)

        groups = [xor[at : at + GROUP] for at in range(0, config.width, GROUP)]
        ones = [Signal(range(len(g) + 1), name=f"ones_{i}_{k}") for k, g in enumerate(groups)]
        age = Signal(NUMBER_BITS, name=f"age_{i}")
        m.d.sync += [count.eq(popcount(group)) for count, group in zip(ones, groups, strict=True)]
        m.d.sync += age.eq(index - first)

        distance = Signal(DISTANCE_BITS, name=f"distance_{i}")
        joinable = Signal(name=f"joinable_{i}")
        passed = Signal(name=f"passed_{i}")
        with m.If(flags.valid):
            so_far = Mux(flags.p.first_phase, 0, distance)
            m.d.sync += distance.eq(so_far + sum(ones, Const(0, 1)))
        m.d.sync += [
            joinable.eq((age <= self.reach) & (counts[1] < self.cap)),
            passed.eq(age >= self.reach),
        ]
        m.d.comb += [node.distance.eq(distance), node.count.eq(counts[2])]
        return joinable, passed

    def _least(self, m: Module, level: int, low: Value, high: Value, name: str) -> Value:
        """Register the nearer of two nodes; the lower one where they are equal."""
        node = Signal(self._node(level), name=name)
        take = high.ok & (~low.ok | (high.distance < low.distance))
        m.d.sync += [
            node.ok.eq(low.ok | high.ok),
            node.distance.eq(Mux(take, high.distance, low.distance)),
            node.lane.eq(Cat(Mux(take, high.lane, low.lane), take)),
            node.count.eq(Mux(take, high.count, low.count)),
        ]
        return node

    def _keep(self, m: Module, flags: stream.Interface, node: Value) -> None:
        """Keep the best of a token's words; it starts at the threshold, which must be beaten."""
        best = self.decision.payload
        opening = flags.p.opening
        bound = Mux(opening, self.threshold, best.distance)
        better = node.ok & (node.distance < bound)
        ends = flags.valid & flags.p.last_phase
        m.d.sync += self.decision.valid.eq(ends & flags.p.closing)
        with m.If(ends & better):
            m.d.sync += [
                best.found.eq(1),
                best.distance.eq(node.distance),
                best.number.eq(Cat(node.lane, flags.p.word)),
                best.count.eq(node.count),
            ]
        with m.Elif(ends & opening):
            m.d.sync += [best.found.eq(0), best.distance.eq(self.threshold)]


def popcount(bits: Value) -> Value:
    """Return the number of ones as a balanced sum."""
    parts: list[Value] = list(bits)
    while len(parts) > 1:
        pairs = [sum(parts[i : i + 2], Const(0, 1)) for i in range(0, len(parts), 2)]
        parts = pairs
    return parts[0]


def _delay(m: Module, steps: stream.Interface, name: str) -> stream.Interface:
    """Return the steps one cycle later."""
    later = stream.Signature(steps.payload.shape(), always_ready=True).create(path=(name,))
    m.d.sync += [later.valid.eq(steps.valid), later.payload.eq(steps.payload)]
    return later
