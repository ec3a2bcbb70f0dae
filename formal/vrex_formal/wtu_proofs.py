"""WTU: the set it emits is the sorted definition's, for any small row and any setting."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

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


def equivalence(
    make: Callable[[WTUConfig], Any] = WTU,
    config: WTUConfig = SIZES,
    *,
    cycles: int = CYCLES,
    content: int | None = None,
) -> Module:
    """Send one row of any length, content (or that given) and any ratio, k_min and k_max.

    Row and settings are constants of the solver's choice, so that the definition is stated once
    and not anew in every cycle. Of k_min and k_max it tries 0 to one more than a row holds, and
    of k_max also the value for none. The row has to be answered within ``cycles``, which makes a
    bounded proof to that depth complete for these rows.
    """
    m = Module()
    start(m)
    m.submodules.unit = unit = make(config)
    definition = SortedDefinition(config.entries, config.weight_bits, config.count_bits)
    m.submodules.definition = definition
    limit = config.entries.bit_length()
    k_max = constant(m, limit + 1, "k_max")
    settings = {
        "ratio": constant(m, RATIO_ONE.bit_length(), "ratio"),
        "k_min": constant(m, limit, "k_min"),
        "k_max": Mux(k_max[-1], K_MAX_NONE, k_max[:-1]),
    }
    given(m, settings["ratio"] <= RATIO_ONE)
    for name, value in settings.items():
        m.d.comb += [getattr(unit, name).eq(value), getattr(definition, name).eq(value)]
    sent, too_long = _send(m, unit.row, definition.row, config.words, content)
    drain(m, unit.selected, 0)

    out, wanted = unit.selected.payload, definition.hits
    hits = Cat(lane.hit for lane in out.lanes)
    offered = Cat(
        lane.hit & (lane.word == word) for word in range(config.words) for lane in out.lanes
    )
    seen = Signal(config.entries)
    with m.If(unit.selected.valid):
        m.d.sync += seen.eq(seen | offered)
    body, trailer = unit.selected.valid & ~out.last, unit.selected.valid & out.last
    answered = counter(m, trailer, 1)
    count = total(list(wanted))
    always(m, ~unit.selected.valid | sent, "nothing comes before the row has ended")
    always(m, ~unit.selected.valid | (answered == 0), "nothing comes after the trailer")
    always(m, ~body | ~(offered & seen).any(), "a cluster is selected only once")
    always(m, ~trailer | ~hits.any(), "the trailer selects nothing")
    always(m, ~trailer | (out.error == too_long), "error: exactly for a row that is too long")
    always(m, ~trailer | (seen == Mux(too_long, 0, wanted)), "the set is the sorted definition's")
    always(m, ~trailer | out.error | (out.number == count), "the trailer counts the set")
    within(m, cycles, answered == 1, "the row is answered in time")

    reach(m, trailer & out.error, "a row that is too long")
    reach(m, trailer & (seen == 0) & ~out.error, "an empty row")
    by_ratio = (count == 2) & (settings["k_min"] < 2) & k_max[-1]
    reach(m, trailer & by_ratio, "a set of two, ended by the ratio")
    reach(m, trailer & (count == config.entries), "a whole row")
    return m


def _send(m: Module, row: Any, wanted: Any, words: int, fixed: int | None) -> tuple[Signal, Any]:
    """Send a constant row of 1 to ``words`` + 1 beats, without a pause.

    What the definition is to look at goes to ``wanted``. Returns whether the row has been sent,
    and whether it is too long.
    """
    size = len(wanted.as_value())
    content = constant(m, size, "content") if fixed is None else Const(fixed, size)
    length = constant(m, range(words + 2), "length")
    given(m, (length >= 1) & (length <= words + 1))
    beat, sent = Signal(range(words + 2)), Signal()
    width = len(content) // words
    offered = Signal(width)
    for word in range(words):
        part = content.word_select(word, width)
        with m.If(beat == word):
            m.d.comb += offered.eq(part)
        with m.If(length > word):
            m.d.comb += wanted.as_value().word_select(word, width).eq(part)
    m.d.comb += [
        row.valid.eq(~sent),
        row.payload.lanes.as_value().eq(offered),
        row.payload.last.eq(beat + 1 == length),
    ]
    with m.If(taken(row)):
        m.d.sync += [beat.eq(beat + 1), sent.eq(row.payload.last)]
    return sent, length > words


PROOFS = [
    Proof(
        name="wtu-definition",
        claim="the set emitted is the sorted definition's: any row of up to 4 clusters (weights "
        "to 3, counts to 1), any ratio, k_min, k_max; in time",
        harness=equivalence,
        depth=CYCLES + 2,
        effort=130,
    ),
]
