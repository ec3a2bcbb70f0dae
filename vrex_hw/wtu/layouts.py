"""The widths and layouts that the parts of the WTU share, all derived from its configuration."""

from dataclasses import dataclass

from amaranth.lib import data
from amaranth.utils import bits_for

from vrex_hw.config import NUMBER_BITS, WTUConfig

RATIO_BITS = 17
"""Width of the ratio: units of 2^-16, 0 to 65536."""
CHUNK_BITS = 16
"""Bits of a row's sum that one step of the threshold's multiplication takes."""


@dataclass(frozen=True)
class Layouts:
    """Shapes inside one WTU. The key that ranks clusters is ``{weight, ~cluster number}``.

    Larger keys rank first, so equal weights rank by ascending cluster number, and no two keys
    are equal.
    """

    config: WTUConfig

    @property
    def index_bits(self) -> int:
        """Low bits of the key: the inverted cluster number."""
        return self.config.word_bits + self.config.lane_bits

    @property
    def key_bits(self) -> int:
        """Width of the key."""
        return self.config.weight_bits + self.index_bits

    @property
    def floor(self) -> int:
        """While a row streams in, weights of 2^floor or more go into the candidate buffers.

        Our decision: an eighth of full scale holds the crossing octave of nearly every row.
        """
        return max(1, self.config.weight_bits - 3)

    @property
    def bins(self) -> int:
        """Bins of a histogram: one for each octave of the weight, and one for each digit."""
        return max(self.config.weight_bits, 1 << self.config.digit_bits)

    @property
    def mass_bits(self) -> int:
        """Width of weight * count."""
        return self.config.weight_bits + self.config.count_bits

    @property
    def sum_bits(self) -> int:
        """Width of the sum of a whole row's masses, which cannot overflow it."""
        return self.mass_bits + self.index_bits

    @property
    def chunks(self) -> int:
        """Steps in which the sum is multiplied by the ratio, 16 bits at a time."""
        return -(-self.sum_bits // CHUNK_BITS)

    @property
    def clusters_bits(self) -> int:
        """Width of a number of clusters in one row, 0 to ``entries``."""
        return bits_for(self.config.entries)

    @property
    def input(self) -> data.StructLayout:
        """One lane of a beat as it comes in."""
        return data.StructLayout(
            {"weight": self.config.weight_bits, "count": self.config.count_bits, "valid": 1}
        )

    @property
    def row(self) -> data.StructLayout:
        """A beat of the ``row`` stream."""
        return data.StructLayout(
            {"lanes": data.ArrayLayout(self.input, self.config.lanes), "last": 1}
        )

    @property
    def entry(self) -> data.StructLayout:
        """One cluster of a known lane: what a candidate buffer keeps."""
        return data.StructLayout(
            {
                "weight": self.config.weight_bits,
                "count": self.config.count_bits,
                "word": self.config.word_bits,
            }
        )

    @property
    def hit(self) -> data.StructLayout:
        """One lane of a beat of the result."""
        return data.StructLayout({"hit": 1, "word": self.config.word_bits})

    @property
    def hits(self) -> data.ArrayLayout:
        """Every lane of a beat of the result."""
        return data.ArrayLayout(self.hit, self.config.lanes)

    @property
    def selected(self) -> data.StructLayout:
        """A beat of the ``selected`` stream."""
        return data.StructLayout({"lanes": self.hits, "number": NUMBER_BITS, "error": 1, "last": 1})

    @property
    def bin_lane(self) -> data.StructLayout:
        """What one lane has in a bin: the sum of the masses and the number of clusters."""
        return data.StructLayout(
            {
                "mass": self.mass_bits + self.config.word_bits,
                "clusters": bits_for(self.config.words),
            }
        )

    @property
    def bin(self) -> data.StructLayout:
        """What all lanes have in a bin."""
        return data.StructLayout({"mass": self.sum_bits, "clusters": self.clusters_bits})

    @property
    def prefix(self) -> data.StructLayout:
        """The bin in which the selection ends: keys that agree with ``bound`` under ``mask``.

        ``position`` is the lowest bit of the mask; ``bound`` is zero below it.
        """
        return data.StructLayout(
            {
                "bound": self.key_bits,
                "mask": self.key_bits,
                "position": bits_for(self.key_bits),
            }
        )
