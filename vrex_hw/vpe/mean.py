"""The mean key of a cluster: a running sum, then one true division."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from vrex_hw.config import Config
from vrex_hw.hierarchy import place
from vrex_hw.vpe import fp32
from vrex_hw.vpe.add import Add
from vrex_hw.vpe.divide import COUNT_BITS, QUOTIENT_BITS, Divide

ROUND_TRIP = Add.LATENCY + 2
"""Cycles between two additions to the same sum: reading it, adding, writing it."""
DIVISION = QUOTIENT_BITS + Divide.LATENCY + 3
"""Cycles that a chunk of the mean takes where it is taken at once."""


def job_layout(config: Config) -> data.StructLayout:
    """Return the layout of a job: ``tokens`` keys of ``dimension`` elements."""
    return data.StructLayout({"tokens": COUNT_BITS, "dimension": bits_for(max(config.head_dims))})


def key_layout(config: Config) -> data.StructLayout:
    """Return the layout of a chunk of a key: ``side`` BF16 elements."""
    return data.StructLayout({"data": data.ArrayLayout(16, config.lxe.side)})


def mean_layout(config: Config) -> data.StructLayout:
    """Return the layout of a chunk of a mean; ``last``: of the job."""
    return data.StructLayout({"data": data.ArrayLayout(16, config.lxe.side), "last": 1})


class Mean(wiring.Component):
    """The mean of a cluster's keys, bit for bit the reference's: sums by ``fp32.add`` in the order
    of arrival, from +0, then ``mean_bf16``, a division correctly rounded, and BF16.

    Ports
    -----
    job : one a mean; ``dimension`` is 1 or more. Without tokens the mean is NaN.
    key : the keys, each ceil(dimension / side) chunks; elements past ``dimension`` may be
        anything.
    mean : the mean in as many chunks; elements past ``dimension`` mean nothing.
    nonfinite : a pulse with each chunk that has a NaN among the elements of the mean.

    Throughput: a key takes as many cycles as it has chunks, but :data:`ROUND_TRIP` at least; then
    a chunk of the mean takes :data:`DIVISION`. The next job is taken after the last chunk.
    Source: docs/numerics.md; that the division is serial is our decision.
    """

    def __init__(self, config: Config) -> None:
        """Generate for ``config``, which was checked when it was made."""
        self._config = config
        super().__init__(
            {
                "job": In(stream.Signature(job_layout(config))),
                "key": In(stream.Signature(key_layout(config))),
                "mean": Out(stream.Signature(mean_layout(config))),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Sum, divide chunk by chunk, give."""
        m = Module()
        chunks, chunk_bits = self._config.chunks, exact_log2(self._config.lxe.side)
        tokens, first = Signal(COUNT_BITS), Signal()
        last, chunk = Signal(range(chunks)), Signal(range(chunks))
        end = Signal(chunk_bits)  # the last element of the last chunk
        in_flight = Signal(range(chunks + 1))
        count = Signal(range(QUOTIENT_BITS + Divide.LATENCY))
        takes, start, gives = Signal(), Signal(), Signal()
        divisor, places, normal = self._divisor(m)
        sums, added = self._add(m, platform, chunk, takes, first)
        at_last, nan = chunk == last, Signal(len(sums))
        for lane, total in enumerate(sums):
            divide = place(m, platform, f"divide{lane}", "mean_divide", Divide)
            m.d.comb += [
                divide.x.eq(total),
                divide.divisor.eq(divisor),
                divide.places.eq(places),
                divide.start.eq(start),
                divide.step.eq(count < QUOTIENT_BITS),
                self.mean.p.data[lane].eq(divide.y),
                nan[lane].eq(divide.y[7:15].all() & (~at_last | (lane <= end))),
            ]
        m.d.comb += [
            gives.eq(self.mean.valid & self.mean.ready),
            self.nonfinite.eq(gives & nan.any()),
        ]
        m.d.sync += in_flight.eq(in_flight + takes - added)
        with m.If(takes | gives):
            m.d.sync += chunk.eq(Mux(at_last, 0, chunk + 1))
        with m.FSM():
            with m.State("JOB"):
                m.d.comb += self.job.ready.eq(1)
                m.d.sync += [
                    tokens.eq(self.job.p.tokens),
                    Cat(end, last).eq(self.job.p.dimension - 1),
                    first.eq(1),
                ]
                with m.If(self.job.valid):
                    m.next = "SUM"
            with m.State("SUM"):
                # The chunks come round in the same order: while fewer than a key's are on their
                # way, what this one is added to has been written.
                m.d.comb += [
                    self.key.ready.eq((tokens != 0) & (in_flight <= last)),
                    takes.eq(self.key.valid & self.key.ready),
                ]
                with m.If(takes & at_last):
                    m.d.sync += [tokens.eq(tokens - 1), first.eq(0)]
                with m.If((tokens == 0) & (in_flight == 0) & normal):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "START"
            with m.State("START"):
                m.d.comb += start.eq(1)
                m.d.sync += count.eq(0)
                m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += count.eq(count + 1)
                with m.If(count == QUOTIENT_BITS + Divide.LATENCY - 1):
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += [self.mean.valid.eq(1), self.mean.p.last.eq(at_last)]
                with m.If(self.mean.ready):
                    m.next = "READ"
                    with m.If(at_last):
                        m.next = "JOB"
        return m

    def _divisor(self, m: Module) -> tuple[Value, Value, Value]:
        """Return a job's tokens, shifted until the highest bit is set, by how much, and if so."""
        divisor, places = Signal(COUNT_BITS), Signal(range(COUNT_BITS))
        normal = divisor[-1] | (places == COUNT_BITS - 1)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [divisor.eq(self.job.p.tokens), places.eq(0)]
        with m.Elif(~normal):
            m.d.sync += [divisor.eq(divisor << 1), places.eq(places + 1)]
        return divisor, places, normal

    def _add(
        self, m: Module, platform: Any, chunk: Value, takes: Value, first: Value
    ) -> tuple[data.View, Value]:
        """Add a key's chunk to its sums; return those of ``chunk`` a cycle ago, and when added."""
        sums = data.ArrayLayout(32, self._config.lxe.side)
        m.submodules.sums = memory = Memory(shape=sums, depth=self._config.chunks, init=[])
        store, load = memory.write_port(), memory.read_port()
        key = fp32.delay(m, self.key.p.data, 1, "key")
        fresh = fp32.delay(m, first, 1, "fresh")
        on_way = Signal(1 + Add.LATENCY)
        m.d.sync += on_way.eq(Cat(takes, on_way))
        m.d.comb += [
            load.addr.eq(chunk),
            store.addr.eq(fp32.delay(m, chunk, len(on_way), "chunk")),
            store.en.eq(on_way[-1]),
        ]
        for lane in range(self._config.lxe.side):
            add = place(m, platform, f"add{lane}", "fp32_add", Add)
            m.d.comb += [
                add.a.eq(Mux(fresh, 0, load.data[lane])),
                add.b.eq(Cat(Const(0, 16), key[lane])),
                store.data[lane].eq(add.sum),
            ]
        return load.data, on_way[-1]
