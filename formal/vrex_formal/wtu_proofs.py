"""WTU: the set it emits is the sorted definition's, for any small row and any setting."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from vrex.params import K_MAX_NONE, RATIO_ONE
from vrex_formal.proof import Proof
from vrex_formal.rules import (
    always,
    constant,
    counter,
    drain,
    given,
    reach,
    start,
    taken,
    total,
    within,
)
from vrex_formal.wicsum import SortedDefinition
from vrex_hw.config import WTUConfig
from vrex_hw.wtu import WTU

SIZES = WTUConfig(lanes=2, entries=4, weight_bits=2, count_bits=1, digit_bits=2, candidates=2)
CYCLES = 46
"""The longest that a row of these sizes may take, from the reset to its trailer."""

NEXT_CYCLES = 88
"""The same for a row that comes after another."""


def equivalence(
    make: Callable[[WTUConfig], Any] = WTU,
    config: WTUConfig = SIZES,
    *,
    cycles: int = CYCLES,
    content: int | None = None,
    before: int | None = None,
) -> Module:
    """Send one row of any length, content (or that given) and any ratio, k_min and k_max.

    With ``before`` a row of that content goes first, and is selected whole; both rows then have
    as many entries as the unit takes, which ``valid`` takes out or leaves in, and the second one
    k_min 1 and no k_max. Row and settings are constants of the solver's choice, so that the
    definition is stated once and not anew in every cycle. Of k_min and k_max it tries 0 to one
    more than a row holds, and of k_max also the value for none. The last row has to be answered
    within ``cycles``, which makes a bounded proof to that depth complete for these rows.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit = make(config)
    definition = SortedDefinition(config.entries, config.weight_bits, config.count_bits)
    m.submodules.definition = definition
    rows = 1 if before is None else 2
    out, wanted = unit.selected.payload, definition.hits
    body, trailer = unit.selected.valid & ~out.last, unit.selected.valid & out.last
    answered = counter(m, trailer, rows)
    proved = answered == rows - 1

    limit = config.entries.bit_length()
    k_max = constant(m, limit + 1, "k_max")
    ratio = constant(m, RATIO_ONE.bit_length(), "ratio")
    k_min = constant(m, limit, "k_min")
    if before is not None:
        given(m, k_max[-1] & (k_min == 1))
    settings = {
        "ratio": (ratio, RATIO_ONE),
        "k_min": (k_min, config.entries),
        "k_max": (Mux(k_max[-1], K_MAX_NONE, k_max[:-1]), K_MAX_NONE),
    }
    given(m, ratio <= RATIO_ONE)
    for name, (value, first) in settings.items():
        for port in (getattr(unit, name), getattr(definition, name)):
            m.d.comb += port.eq(Mux(proved, value, first))
    row = Row(m, definition.row, config.words, content)
    if before is not None:
        row.first(m, ~proved, before)
    row.send(m, unit.row, restart=trailer & ~proved)
    drain(m, unit.selected, 0)

    hits = Cat(lane.hit for lane in out.lanes)
    offered = Cat(
        lane.hit & (lane.word == word) for word in range(config.words) for lane in out.lanes
    )
    seen = Signal(config.entries)
    with m.If(unit.selected.valid):
        m.d.sync += seen.eq(Mux(out.last, 0, seen | offered))
    count = total(list(wanted))
    too_long = row.length > config.words
    always(m, ~unit.selected.valid | row.sent, "nothing comes before the row has ended")
    always(m, ~unit.selected.valid | (answered != rows), "nothing comes after the trailer")
    always(m, ~body | ~(offered & seen).any(), "a cluster is selected only once")
    always(m, ~trailer | ~hits.any(), "the trailer selects nothing")
    always(m, ~trailer | (out.error == too_long), "error: exactly for a row that is too long")
    always(m, ~trailer | (seen == Mux(too_long, 0, wanted)), "the set is the sorted definition's")
    always(m, ~trailer | out.error | (out.number == count), "the trailer counts the set")
    within(m, cycles, answered == rows, "the row is answered in time")

    end = trailer & proved
    by_ratio = (count == 2) & (k_min < 2) & k_max[-1]
    if before is None:
        reach(m, end & out.error, "a row that is too long")
    reach(m, end & (seen == 0) & ~out.error, "an empty row")
    reach(m, end & by_ratio, "a set of two, ended by the ratio")
    reach(m, end & (count == config.entries), "a whole row")
    return m


class Row:
    """The row that is being sent: ``length`` is its beats, ``sent`` whether all of them are."""

    def __init__(self, m: Module, wanted: Any, words: int, content: int | None) -> None:
        """Choose 1 to ``words`` + 1 beats; those that fit are shown to the definition."""
        self._wanted, self._words = wanted.as_value(), words
        size = len(self._wanted)
        self._content, self.length = Signal(size), Signal(range(words + 2))
        self._beat, self.sent = Signal(range(words + 2)), Signal()
        length = constant(m, range(words + 2), "length")
        given(m, (length >= 1) & (length <= words + 1))
        chosen = constant(m, size, "content") if content is None else content
        m.d.comb += [self._content.eq(chosen), self.length.eq(length)]

    def first(self, m: Module, now: Any, content: int) -> None:
        """Send ``content`` instead while ``now``, and only whole rows."""
        given(m, self.length == self._words)
        with m.If(now):
            m.d.comb += self._content.eq(content)

    def send(self, m: Module, row: Any, restart: Any) -> None:
        """Send it without a pause, and again after ``restart``."""
        width = len(self._wanted) // self._words
        for word in range(self._words):
            part = self._content.word_select(word, width)
            with m.If(self._beat == word):
                m.d.comb += row.payload.lanes.as_value().eq(part)
            with m.If(self.length > word):
                m.d.comb += self._wanted.word_select(word, width).eq(part)
        m.d.comb += [row.valid.eq(~self.sent), row.payload.last.eq(self._beat + 1 == self.length)]
        with m.If(taken(row)):
            m.d.sync += [self._beat.eq(self._beat + 1), self.sent.eq(row.payload.last)]
        with m.If(restart):
            m.d.sync += [self._beat.eq(0), self.sent.eq(0)]


FULL_ROW = 0b1_1_00_1_1_11_1_1_01_1_1_10
"""Four clusters, each valid, with count 1 and weights 2, 1, 3, 0."""

PROOFS = [
    Proof(
        name="wtu-definition",
        claim="the set emitted is the sorted definition's: any row of up to 4 clusters (weights "
        "to 3, counts to 1), any ratio, k_min, k_max; in time",
        harness=equivalence,
        depth=CYCLES + 2,
        effort=100,
    ),
    Proof(
        name="wtu-next",
        claim="the same for a row that comes after another, at any ratio",
        harness=lambda: equivalence(before=FULL_ROW, cycles=NEXT_CYCLES),
        depth=NEXT_CYCLES + 2,
        effort=140,
    ),
]
