"""A method that is watched at work: what its layers read, and how near they come to full attention.

Everything is summed on the device that it is on, and read once a stream: a look at a number in the
middle would make a GPU wait.
"""

import copy
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from vrex_eval.method import Attended, LayerCache, Method, Step
from vrex_eval.methods.attention import by_head, from_rows, probabilities
from vrex_eval.methods.growing import KVStore

COUNTS = ("read", "fetched", "overhead", "past")
"""What :class:`Tally` sums, in tokens' worth of K and V in BF16."""
BINS = 200
"""Bins of the histogram of attention mass, over 0 to 1."""


class Tally:
    """Sums over steps of what each layer, stream and head read."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._sums: dict[int, Tensor] = {}

    def add(self, layer: int, got: Attended) -> None:
        """Count a step of a layer."""
        past = torch.full_like(got.read, got.past)
        counts = (got.read * got.token_cost, got.fetched * got.token_cost, got.overhead, past)
        step = torch.stack([count.double() for count in counts])
        before = self._sums.get(layer)
        self._sums[layer] = step if before is None else before + step

    def __bool__(self) -> bool:
        """Tell whether anything has been counted."""
        return bool(self._sums)

    def take(self) -> Tensor:
        """Return the sums, float64 [COUNTS, L, B, Hkv] on the CPU, and start anew."""
        sums = torch.stack([self._sums[layer] for layer in sorted(self._sums)], 1).cpu()
        self._sums = {}
        return sums


class Probe:
    """Compares each layer's output with exact attention over the same cache."""

    def __init__(self) -> None:
        """Start switched off."""
        self.on = False
        self.streams: Tensor | None = None
        """[B] bool: streams that count; None: all."""
        self._errors: dict[int, Tensor] = {}
        self._mass: Tensor | None = None

    def look(self, layer: int, step: Step, store: KVStore, got: Attended) -> None:
        """Take the attention mass of what was read, and the error of the output."""
        weights = probabilities(step.q, store.keys())
        exact = from_rows(weights @ store.values().float(), step.q.shape[1])
        read = weights[..., : got.past]
        if got.keep is not None:
            read = read * got.keep[:, :, None]
        mass = read.sum(-1) + weights[..., got.past :].sum(-1)
        every = torch.ones(len(mass), dtype=torch.bool, device=mass.device)
        live = every if self.streams is None else self.streams
        self._add(layer, mass, exact, got.out.float(), live)

    def _add(self, layer: int, mass: Tensor, exact: Tensor, out: Tensor, live: Tensor) -> None:
        squares = torch.stack([(out - exact).square(), exact.square()]).double().flatten(2).sum(2)
        errors = (squares * live).sum(1)
        place = (mass * BINS).long().clamp(0, BINS - 1).flatten(1)
        counted = live.double()[:, None].expand(place.shape)
        flat = torch.zeros(BINS, dtype=torch.float64, device=mass.device)
        flat.scatter_add_(0, place.flatten(), counted.flatten())
        total = (mass.double().flatten(1) * counted).sum()
        sums = torch.cat([flat, total[None]])
        before = self._errors.get(layer)
        self._errors[layer] = errors if before is None else before + errors
        self._mass = sums if self._mass is None else self._mass + sums

    def take(self) -> dict[str, list[float]] | None:
        """Return the sums and start anew; None where nothing was looked at.

        ``error`` and ``norm`` [L]: squared error and squared norm of the outputs; ``mass``
        [BINS]: rows by attention mass; ``mass_sum`` [1].
        """
        if self._mass is None:
            return None
        errors = torch.stack([self._errors[layer] for layer in sorted(self._errors)])
        *histogram, total = self._mass.tolist()
        error, norm = errors.T.tolist()
        self._errors, self._mass = {}, None
        return {"error": error, "norm": norm, "mass": histogram, "mass_sum": [total]}


@dataclass
class Recorded:
    """A method, and what became of it."""

    method: Method
    tally: Tally = field(default_factory=Tally)
    probe: Probe | None = None
    """None: outputs are not compared, and nothing is kept to compare them with."""

    @property
    def name(self) -> str:
        """The method's own."""
        return self.method.name

    def layer(self, index: int, layers: int) -> LayerCache:
        """Return a cache of the method that is watched."""
        return RecordedCache(self, index, self.method.layer(index, layers))


class RecordedCache:
    """The cache of one layer, watched."""

    def __init__(self, recorded: Recorded, index: int, inner: LayerCache) -> None:
        """Watch ``inner``, the cache of layer ``index``."""
        self.recorded, self.index, self.inner = recorded, index, inner
        self.store = KVStore()

    def attend(self, step: Step) -> Attended:
        """Attend as the method does, and count."""
        got = self.inner.attend(step)
        self.recorded.tally.add(self.index, got)
        probe = self.recorded.probe
        if probe is not None:
            self.store.append(by_head(step.k), by_head(step.v))
            if probe.on and got.past:
                probe.look(self.index, step, self.store, got)
        return got

    def fork(self) -> Self:
        """Return a copy that goes its own way; its figures go into the same sums."""
        other = type(self)(self.recorded, self.index, self.inner.fork())
        other.store = copy.deepcopy(self.store)
        return other
