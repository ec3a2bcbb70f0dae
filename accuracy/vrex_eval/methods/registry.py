"""Every method by name, with the meaning of its budget and the settings that may be changed."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vrex import MODES, Params, UserError
from vrex.params import NAMES as PARAMS
from vrex_eval.methods.chunks import Chunks
from vrex_eval.methods.full import Full
from vrex_eval.methods.infinigen import InfiniGen
from vrex_eval.methods.oaken import Oaken
from vrex_eval.methods.oracle import OracleTopK, OracleTopP
from vrex_eval.methods.quest import Quest
from vrex_eval.methods.rekv import ReKV
from vrex_eval.methods.resv import SELECTING, ReSV, TopKClusters
from vrex_eval.methods.resv_exact import ReSVExact
from vrex_eval.methods.selecting import Selecting
from vrex_eval.methods.streaming import Recent, Streaming


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method as the registry has it."""

    make: Callable[..., Selecting]
    """The class; its settings are its fields."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Those that differ from the class's own."""
    ladder: tuple[float, ...] = ()
    """Budgets that draw its curve; without any it has none."""
    oracle: bool = False
    """Whether it knows what cannot be known."""


TEXT = {f"text_{name}": name for name in SELECTING}
"""ReSV's parameters at the text stage, by the names that a spec uses."""
STUDIED = ("moment", "head_spread", "kv_bits")
"""Settings of ReSV that no reference has."""
PAPER, TIGHT = {"params": MODES["paper"]}, {"params": MODES["tight"]}
RECOMMENDED = {"params": MODES["estimate"]}
"""What ``recommended`` means here is what we recommend today, whatever its mode is called."""
METHODS = {
    "full": Entry(make=Full),
    "flexgen": Entry(make=Full),
    "oaken": Entry(make=Oaken, ladder=(0.0625,)),
    "streaming": Entry(make=Streaming, ladder=(128, 256, 512, 1024)),
    "recent": Entry(make=Recent, ladder=(128, 256, 512, 1024)),
    "chunks": Entry(make=Chunks, ladder=(1, 2, 4, 8, 16)),
    "quest": Entry(make=Quest, ladder=(1, 2, 4, 8)),
    "rekv": Entry(make=ReKV, ladder=(4, 16, 64, 128)),
    "infinigen": Entry(make=InfiniGen, ladder=(0.05, 0.1, 0.2)),
    "infinigenp": Entry(
        make=InfiniGen, settings={"stage": "both", "budget": 0.5}, ladder=(0.1, 0.25, 0.5)
    ),
    "topk_clusters": Entry(make=TopKClusters, settings=TIGHT, ladder=(1, 2, 4, 8, 16)),
    "oracle_topk": Entry(make=OracleTopK, ladder=(1, 4, 16, 64), oracle=True),
    "oracle_topp": Entry(make=OracleTopP, ladder=(0.5, 0.8, 0.9, 0.95), oracle=True),
    "resv": Entry(make=ReSV, settings=PAPER, ladder=(0.1, 0.3, 0.5, 0.8)),
    "resv_exact": Entry(make=ReSVExact, settings=RECOMMENDED, ladder=(0.3,)),
    "recommended": Entry(make=ReSV, settings=RECOMMENDED, ladder=(0.1, 0.3, 0.5, 0.8)),
}
"""In the order in which tables list them."""
SLOW = ("resv_exact",)
"""Methods that have to be asked for by name."""


def make(spec: str, budget: float | None = None, **common: Any) -> Selecting:
    """Return the method that ``spec`` means: ``NAME`` or ``NAME:SETTING=VALUE,...``.

    A setting is a field of the method's class, for ReSV also one of :class:`~vrex.Params` (and
    ``mode``, a named mode's). ``budget`` overrides the method's own; ``common`` are settings
    for every method that has them. The method's name is ``spec``.

    Raises :class:`~vrex.UserError` for an unknown name or setting, or a value out of bounds.
    """
    entry, changes = parse(spec)
    settings = dict(entry.settings)
    given = {name: value for name, value in common.items() if value is not None}
    if "params" in settings:
        settings["params"] = _params(settings["params"], given, changes)
        text = {TEXT[name]: changes.pop(name) for name in list(changes) if name in TEXT}
        settings["text_changes"] = tuple(text.items())
    else:
        # Methods whose windows are their own keep them.
        fixed = ("sinks", "recent") if entry.make in (Full, Oaken, Recent) else ()
        settings |= {n: v for n, v in given.items() if n in _fields(entry) and n not in fixed}
    settings |= changes
    if budget is not None and "budget" in _fields(entry):
        settings["budget"] = budget
    return entry.make(name=spec, **settings)


def parse(spec: str) -> tuple[Entry, dict[str, Any]]:
    """Split a spec into its entry and the changed settings, checked to be known."""
    name, _, rest = spec.partition(":")
    if name not in METHODS:
        raise UserError(f"unknown method {name!r}: known are {', '.join(METHODS)}")
    entry = METHODS[name]
    known = [field for field in _fields(entry) if field not in ("name", "params")]
    if "params" in _fields(entry):
        known = ["budget", "text_budget", "stage", "mode", *STUDIED, *PARAMS, *TEXT]
    changes = {}
    for text in filter(None, rest.split(",")):
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise UserError(
                f"method {spec}: {text!r} must be SETTING=VALUE with SETTING one of "
                f"{', '.join(known)}"
            )
        if key in changes:
            raise UserError(f"method {spec}: {key} is given twice; leave one out")
        changes[key] = _value(value)
    return entry, changes


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None if text in ("none", "None") else text


def _fields(entry: Entry) -> list[str]:
    made: Any = entry.make
    return [field.name for field in dataclasses.fields(made)]


def _params(params: Params, common: dict[str, Any], changes: dict[str, Any]) -> Params:
    """Return ReSV's parameters: a mode, common windows, then single ones out of ``changes``."""
    mode = changes.pop("mode", None)
    if mode is not None:
        params = params.with_mode(mode)
    names = {"sinks": "n_sinks", "recent": "recent_window"}
    windows = {names[name]: value for name, value in common.items() if name in names}
    own = {name: changes.pop(name) for name in list(changes) if name in PARAMS}
    return params.replace(**{**windows, **own})
