"""What residency saves on the host link, and how large the requests are that are left."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from resv_ref.residency import Residency, coalesce
from vrex.residency import Policy
from vrex_hw.config import Config
from vrex_sim.benches.residency_floor import least_fetched
from vrex_sim.benches.residency_streams import Head, streams

SHARES = {"_10": 0.10, "": 0.25, "_50": 0.50}
"""Room in device memory as a share of the sealed bytes, by the suffix of its figures."""
SUFFIXES = {"recommended": "", "tight": "_tight"}
"""The modes that are measured, by name, and what each adds to the names of its figures."""
TOKEN_BYTES = 512
"""Key and value of a token at d=128, in BF16. The streams' own d does not matter here."""

Fetched = Callable[[Head, float, int], int]
"""Tokens fetched for a head, with room for a share of what is sealed, in slots of some tokens."""


def residency_figures(config: Config) -> list[dict[str, Any]]:
    """Return ``residency.fetched_over_selected``, ``_lru`` and ``_floor``.

    Bytes fetched over bytes selected, over all frames of a stream that have something sealed. The
    room is a share of the sealed bytes, in whole slots, rounded down: 25 %, with ``_10`` and
    ``_50`` at the end another. ``_lru`` is plain LRU, ``_floor`` what no replacement can beat even
    if it knows the future. All is in the ``recommended`` mode, and again, with ``_tight`` after
    the share, in ``tight``. A set's name comes last
    (``residency.fetched_over_selected_lru_10_tight.generated_1``); figures without one are the mean
    over the sets of the mode (:func:`streams`).
    """
    ways: dict[str, Fetched] = {
        "": lambda head, share, slot: _fetched(head, share, slot, Policy.FREQUENCY),
        "_lru": lambda head, share, slot: _fetched(head, share, slot, Policy.LRU),
        "_floor": lambda head, share, slot: least_fetched(head, rooms(head, share, slot)),
    }
    figures = []
    for mode, of_mode in SUFFIXES.items():
        for (way, fetched), (room, share) in itertools.product(ways.items(), SHARES.items()):
            name = f"residency.fetched_over_selected{way}{room}{of_mode}"
            values = {
                stream: _ratio(heads, fetched, share, config.kvmu.slot_tokens)
                for stream, heads in streams(mode).items()
            }
            by_name = {name: float(np.mean(list(values.values())))}
            by_name |= {f"{name}.{stream}": value for stream, value in values.items()}
            figures += [
                {"name": one, "value": value, "unit": "bytes per byte", "config": config.name}
                for one, value in by_name.items()
            ]
    return figures


def request_sizes(config: Config, mode: str, *, resident: bool) -> Iterator[int]:
    """Yield the bytes of every request to the host at d=128 in a mode, for ``link.gain``.

    Without residency every selected cluster is fetched in every frame; with it (``resident``)
    FREQUENCY keeps what it can in room for 25 % of the sealed bytes.
    """
    line = 2 * config.lxe.side
    sizes = {"token_lines": TOKEN_BYTES // line, "request_lines": config.kvmu.request_lines}
    slot = config.kvmu.slot_tokens
    for heads in streams(mode).values():
        for head in heads:
            model = Residency(0, Policy.FREQUENCY, slot_tokens=slot, **sizes)
            for frame, room in zip(head, rooms(head, SHARES[""], slot), strict=True):
                if resident:
                    model.room = room
                    requests = model.step(frame.selected, frame.counts).requests
                else:
                    requests = coalesce(frame.selected, frame.counts, **sizes)
                yield from (lines * line for _, lines in requests)


def rooms(head: Head, share: float, slot_tokens: int) -> list[int]:
    """Return the slots that a share of the sealed bytes makes, frame by frame."""
    return [int(share * int(frame.counts.sum())) // slot_tokens for frame in head]


def _fetched(head: Head, share: float, slot_tokens: int, policy: Policy) -> int:
    model = Residency(0, policy, slot_tokens=slot_tokens)
    tokens = 0
    for frame, room in zip(head, rooms(head, share, slot_tokens), strict=True):
        model.room = room
        places = model.step(frame.selected, frame.counts).places
        tokens += sum(int(frame.counts[place.cluster]) for place in places if place.fetched)
    return tokens


def _ratio(heads: list[Head], fetched: Fetched, share: float, slot_tokens: int) -> float:
    total = sum(fetched(head, share, slot_tokens) for head in heads)
    selected = sum(int(frame.counts[frame.selected].sum()) for head in heads for frame in head)
    return total / selected
