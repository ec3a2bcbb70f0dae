"""The parameters of ReSV: one frozen object for the reference, the hardware and the trace file."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from vrex.errors import UserError

SCORE_MAPS = ("exp", "shift_min", "relu", "raw")
HASH_KEYS = ("post_rope", "pre_rope")
CLUSTER_SCOPES = ("per_head", "per_layer")
CLUSTER_BITS = ("leader", "mean")
QUERIES = ("same_layer", "previous_layer")
TEMPERATURES = tuple(2.0**e for e in range(-4, 5))

MOST = 1 << 31
RATIO_ONE = 1 << 16
"""``wicsum_ratio`` 1.0 in the fixed point that the hardware takes (units of 2^-16)."""
K_MAX_NONE = 0xFFFF
"""What the hardware's ``k_max`` register holds when there is no cap: no row is that long."""


@dataclass(frozen=True, kw_only=True)
class Params:
    """Parameters of one layer, by the names that a trace's metadata uses.

    The defaults are what a missing name means in a file, for ever: the ``recommended`` mode.

    Raises :class:`~vrex.errors.UserError` when a value is out of its bounds; the message names
    the field, the value and what would do. Source: paper sections on ReSV; what they leave open
    is our decision, with its evidence, in ``docs/algorithm.md``.
    """

    n_hyperplanes: int = 32
    """Hash bits a key, 1 to 64."""
    hamming_threshold: int = 5
    """A token joins a cluster at a distance strictly below this, 0 to 65."""
    wicsum_ratio: float = 0.3
    """Share of a row's weighted sum that the selected clusters must exceed, 0 to 1."""
    k_min: int = 4
    """Fewest clusters a row selects (where it has as many), 1 to 65535."""
    k_max: int | None = 16
    """Most clusters a row selects, 1 to 65535; None: no cap."""
    score_map: str = "exp"
    """How a score becomes a weight: exp, shift_min, relu or raw."""
    score_temperature: float = 1.0
    """Divides the score before exp; a power of two, 2^-4 to 2^4."""
    hash_keys: str = "pre_rope"
    """Which keys are hashed: post_rope (the paper) or pre_rope."""
    recent_window: int = 256
    """Tokens that stay in open clusters once a frame is stored, 1 to 2^31."""
    join_window: int = 128
    """A cluster may be joined while its first token is this near; cut to ``recent_window``."""
    cluster_cap: int = 32
    """Most members of a cluster, 1 to 65535."""
    n_sinks: int = 4
    """First tokens of the stream that are in no cluster and always attended, 0 or more."""
    attend_recent: bool = True
    """Attend the open window without scoring it (False: score it; float reference only)."""
    cluster_scope: str = "per_head"
    """One table per KV head, or one for the layer (float reference only)."""
    cluster_bits: str = "leader"
    """A cluster's bits: its first member's, or those of its mean (float reference only)."""
    query: str = "same_layer"
    """Whose queries score: this layer's, or the previous layer's (``q_retrieve``)."""
    text_k_min: int | None = None
    """``k_min`` of the rows of text steps, 1 to 65535; None: ``k_min``."""
    text_k_max: int | None = None
    """``k_max`` of the rows of text steps, 1 to 65535; None: ``k_max``."""
    estimate: bool = False
    """Let the means of clusters that are not selected stand for their tokens in attention (float
    and exact references only)."""

    def __post_init__(self) -> None:
        """Check every field and cut ``join_window``."""
        self._int("n_hyperplanes", 1, 64)
        self._int("hamming_threshold", 0, 65)
        self._int("k_min", 1, 0xFFFF)
        for name in ("k_max", "text_k_min", "text_k_max"):
            if getattr(self, name) is not None:
                self._int(name, 1, 0xFFFF)
        self._int("recent_window", 1, MOST)
        self._int("cluster_cap", 1, 0xFFFF)
        self._int("n_sinks", 0, MOST)
        reach = min(self._int("join_window", 1, MOST), self.recent_window)
        object.__setattr__(self, "join_window", reach)
        self._number("wicsum_ratio", 0.0, 1.0)
        self._number("score_temperature", TEMPERATURES[0], TEMPERATURES[-1])
        if self.score_temperature not in TEMPERATURES:
            raise self._bad("score_temperature", "a power of two from 2^-4 to 2^4")
        for name in ("attend_recent", "estimate"):
            if not isinstance(getattr(self, name), bool):
                raise self._bad(name, "true or false")
        for name, choices in (
            ("score_map", SCORE_MAPS),
            ("hash_keys", HASH_KEYS),
            ("cluster_scope", CLUSTER_SCOPES),
            ("cluster_bits", CLUSTER_BITS),
            ("query", QUERIES),
        ):
            if getattr(self, name) not in choices:
                raise self._bad(name, " or ".join(choices))
        if self.estimate and not (self.attend_recent and self.cluster_scope == "per_head"):
            raise UserError(
                f"parameter estimate is True with attend_recent {self.attend_recent} and "
                f"cluster_scope {self.cluster_scope!r}: it must be False, or attend_recent True "
                "and cluster_scope 'per_head'"
            )

    def _bad(self, name: str, wanted: str) -> UserError:
        return UserError(f"parameter {name} is {getattr(self, name)!r}: it must be {wanted}")

    def _int(self, name: str, low: int, high: int) -> int:
        value = getattr(self, name)
        if type(value) is not int or not low <= value <= high:
            raise self._bad(name, f"a whole number from {low} to {high}")
        return value

    def _number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self._bad(name, f"a number from {low:g} to {high:g}")

    @property
    def ratio_fixed(self) -> int:
        """``wicsum_ratio`` in units of 2^-16, ties to even: 0 to 65536."""
        return round(self.wicsum_ratio * RATIO_ONE)

    @property
    def k_max_fixed(self) -> int:
        """``k_max`` as the hardware's 16-bit register takes it."""
        return K_MAX_NONE if self.k_max is None else self.k_max

    def at(self, *, text: bool) -> Self:
        """Return the parameters by which a step selects: ``k_min`` and ``k_max`` are those of its
        stage. ``text``: it is one of a question or an answer, not of a frame.
        """
        if not text:
            return self
        floor = self.k_min if self.text_k_min is None else self.text_k_min
        cap = self.k_max if self.text_k_max is None else self.text_k_max
        return self.replace(k_min=floor, k_max=cap)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with ``changes``, checked again."""
        _refuse_unknown(changes)
        return dataclasses.replace(self, **changes)

    def with_mode(self, mode: str) -> Self:
        """Return a copy with what the named mode sets."""
        if mode not in MODE_CHANGES:
            raise UserError(f"unknown mode {mode!r}: known are {', '.join(MODE_CHANGES)}")
        return self.replace(**MODE_CHANGES[mode])

    def require_exact(self, engine: str = "exact") -> None:
        """Refuse what only the float reference does; ``engine`` is named in the error."""
        for name, value in (
            ("score_map", "raw"),
            ("attend_recent", False),
            ("cluster_scope", "per_layer"),
            ("cluster_bits", "mean"),
        ):
            if getattr(self, name) == value:
                raise UserError(
                    f"parameter {name} is {value!r}: the {engine} engine does not do it, "
                    "run it with --engine float"
                )

    def require_hardware(self, engine: str) -> None:
        """Refuse what the hardware does not do; ``engine`` is named in the error."""
        self.require_exact(engine)
        if self.estimate:
            raise UserError(
                f"parameter estimate is True: the {engine} engine does not do it, run it with "
                "--engine exact or float"
            )

    def to_json(self) -> str:
        """Return every parameter as a JSON object, keys in the order of the fields."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read parameters from a JSON object; unknown names are refused."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"metadata 'resv' is no JSON: {error}") from None
        if not isinstance(values, Mapping):
            raise UserError("metadata 'resv' must be a JSON object of parameters")
        _refuse_unknown(values)
        return cls(**values)


NAMES = tuple(f.name for f in dataclasses.fields(Params))


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    unknown = sorted(values.keys() - set(NAMES))
    if unknown:
        raise UserError(f"unknown parameter {unknown[0]!r}: known are {', '.join(NAMES)}")


_PLAIN: dict[str, Any] = {
    "score_map": "exp",
    "wicsum_ratio": 0.3,
    "text_k_min": None,
    "text_k_max": None,
    "estimate": False,
}
_PAPER = {
    **_PLAIN,
    "k_min": 1,
    "k_max": None,
    "hash_keys": "post_rope",
    "hamming_threshold": 7,
    "cluster_cap": 256,
    "recent_window": 256,
    "join_window": 256,
}
_RECOMMENDED = {
    **_PLAIN,
    "k_min": 4,
    "k_max": 16,
    "hash_keys": "pre_rope",
    "hamming_threshold": 5,
    "cluster_cap": 32,
    "recent_window": 256,
    "join_window": 128,
}
_TIGHT = {
    **_RECOMMENDED,
    "text_k_min": 4,
    "text_k_max": 4,
    "hamming_threshold": 3,
    "recent_window": 32,
    "join_window": 32,
}
MODE_CHANGES: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "recommended": _RECOMMENDED,
    "tight": _TIGHT,
    "estimate": {**_TIGHT, "estimate": True},
}
"""What a named mode sets; it leaves the rest (planes, sinks, temperature) as the trace has it.

``recommended`` was our first and is what files mean; a later one has a name of its own. ``tight``
is what we recommend for the hardware as it is, ``estimate`` with what it lacks (docs/results.md).
"""

MODES = {name: Params(**changes) for name, changes in MODE_CHANGES.items()}
"""The named settings over the defaults."""
