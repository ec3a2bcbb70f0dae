"""One lane of the softmax: the exponential of a score less the maximum."""

from typing import Any

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from vrex_hw.vpe.add import Add
from vrex_hw.vpe.exp2 import Exp2


class SoftmaxLane(wiring.Component):
    """``p`` = 2^(``z`` - ``maximum``) as BF16, one a cycle; ``maximum`` is ``z`` or more.

    fp32; NaN where either is NaN or the difference overflows. Latency: that of the subtraction
    and of the exponential. Source: our decision.
    """

    LATENCY = Add.LATENCY + Exp2.LATENCY

    def __init__(self) -> None:
        """Make it."""
        super().__init__({"z": In(32), "maximum": In(32), "p": Out(16)})

    def elaborate(self, platform: Any) -> Module:
        """Subtract, then take the power."""
        m = Module()
        m.submodules.subtract = subtract = Add()
        m.submodules.exp2 = exp2 = Exp2()
        m.d.comb += [
            subtract.a.eq(self.z),
            subtract.b.eq(self.maximum ^ (1 << 31)),
            # Never above 0: with the sign said, synthesis leaves out what serves positive x.
            exp2.x.eq(Cat(subtract.sum[:-1], Const(1, 1))),
            self.p.eq(exp2.y),
        ]
        return m
