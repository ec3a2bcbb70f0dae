"""The largest and the smallest of many scores at once."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from vrex_hw.vpe import fp32
from vrex_hw.vpe.maximum import key


class Largest(wiring.Component):
    """The largest of ``inputs`` unsigned numbers of ``bits`` bits, one result a cycle.

    Latency log2(inputs): one comparison a stage. Raises ValueError unless ``inputs`` is a power
    of two. Source: our decision.
    """

    def __init__(self, inputs: int, bits: int) -> None:
        """Make it for ``inputs`` numbers of ``bits`` bits."""
        self.latency = exact_log2(inputs)
        super().__init__({"terms": In(data.ArrayLayout(bits, inputs)), "largest": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        """Halve the number of terms at every level."""
        m = Module()
        terms = list(self.terms)
        for level in range(self.latency):
            winners = []
            for k, (a, b) in enumerate(zip(terms[0::2], terms[1::2], strict=True)):
                winner = Signal.like(a, name=f"level{level}_{k}", reset_less=True)
                m.d.sync += winner.eq(larger(a, b))
                winners.append(winner)
            terms = winners
        m.d.comb += self.largest.eq(terms[0])
        return m


class Extremes(wiring.Component):
    """Keys of the largest and of the smallest of ``inputs`` float32 scores, one result a cycle.

    ``scores``, those with ``live`` set: a score that is not finite takes no part. ``most`` and
    ``least``: the largest :func:`~vrex_hw.vpe.maximum.key` of a score and of a negated score.
    Both are 0, which is below any key, where none takes part: so the extremes of several calls,
    each, are the larger ones. Latency 1 + log2(inputs). Source: our decision.
    """

    def __init__(self, inputs: int) -> None:
        """Make it for ``inputs`` scores, a power of two, 2 or more."""
        self._inputs = inputs
        self.latency = 1 + exact_log2(inputs)
        super().__init__(
            {
                "scores": In(data.ArrayLayout(32, inputs)),
                "live": In(inputs),
                "most": Out(32),
                "least": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Compare in pairs once for both ends, then go on with a tree for each."""
        m = Module()
        half = self._inputs // 2
        m.submodules.most = most = Largest(half, 32)
        m.submodules.least = least = Largest(half, 32)
        entered = [self._enter(m, lane) for lane in range(self._inputs)]
        for pair, ((a, has_a), (b, has_b)) in enumerate(
            zip(entered[0::2], entered[1::2], strict=True)
        ):
            high, low = Signal(32, reset_less=True), Signal(32, reset_less=True)
            a_above = Signal()
            m.d.comb += a_above.eq(a > b)
            # One that takes no part has key 0: as the smaller it must give way to the other. The
            # key of a negated number is that of the number, inverted.
            a_low = Mux(has_a & has_b, ~a_above, a_above)
            m.d.sync += [
                high.eq(Mux(a_above, a, b)),
                low.eq(Mux(has_a | has_b, ~Mux(a_low, a, b), 0)),
            ]
            m.d.comb += [most.terms[pair].eq(high), least.terms[pair].eq(low)]
        m.d.comb += [self.most.eq(most.largest), self.least.eq(least.largest)]
        return m

    def _enter(self, m: Module, lane: int) -> tuple[Value, Value]:
        """Return the key of a lane's score, 0 where it takes no part, and if it does."""
        score = fp32.FP32(self.scores[lane])
        value, present = Signal(32, reset_less=True), Signal(reset_less=True)
        takes_part = self.live[lane] & (score.exponent != fp32.NOT_FINITE)
        m.d.sync += [
            value.eq(Mux(takes_part, key(score.as_value()), 0)),
            present.eq(takes_part),
        ]
        return value, present


def larger(a: Any, b: Any) -> Value:
    """Return the larger of two unsigned values."""
    return Mux(a > b, a, b)
