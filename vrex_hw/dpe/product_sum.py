"""The aligned sum whose terms are products: of each it takes the two factors."""

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import data
from amaranth.lib.wiring import In

from vrex_hw.dpe import aligned_sum
from vrex_hw.dpe.aligned_product import AlignedProduct, ShiftedOperands
from vrex_hw.dpe.aligned_sum import AlignedSum, Term
from vrex_hw.hierarchy import place
from vrex_hw.multiplier import Multiplier, on_ecp5


class ProductSum(AlignedSum):
    """An :class:`~vrex_hw.dpe.aligned_sum.AlignedSum` of ``width`` products and an accumulator.

    Instead of magnitudes it has ``a`` and ``b``, whose products they are: numbers from 1 to 2 of
    ``bits`` bits. They come ``factor_delay`` cycles after the exponents; signs, and what belongs
    to the accumulator, as ever. ``latency`` is one cycle more. On an ECP5 the products are
    :class:`~vrex_hw.dpe.aligned_product.ShiftedOperands`.
    """

    WAIT = AlignedProduct.WAIT

    def _lane_ports(self, width: int, bits: int) -> dict[str, Any]:
        factors = data.ArrayLayout(bits, width)
        return {"a": In(factors), "b": In(factors)}

    @property
    def factor_delay(self) -> int:
        """Cycles by which factors follow the exponents."""
        return self.magnitude_delay - Multiplier.LATENCY

    def _lane(self, m: Module, platform: Any, k: int, largest: Value, exponent: Value) -> Term:
        sizes = (len(self.a[k]), len(exponent), self.window)
        module = f"dpe_aligned_product_{'_'.join(map(str, sizes))}"
        form = ShiftedOperands if on_ecp5(platform) else AlignedProduct
        unit = place(m, platform, f"product_{k}", module, lambda: form(*sizes))
        m.d.comb += [
            unit.exponent.eq(exponent),
            unit.largest.eq(largest),
            unit.a.eq(self.a[k]),
            unit.b.eq(self.b[k]),
            unit.negative.eq(self.negatives[k]),
        ]
        return unit.term, unit.sign


def latency(width: int) -> int:
    """Return the cycles from the exponents of ``width`` products to their total."""
    return aligned_sum.latency(width) + ProductSum.WAIT
