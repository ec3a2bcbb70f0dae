"""Which hardware a trace needs: sizes made for it, or a check that given ones will do."""

from resv_ref.trace import Trace
from vrex import Params, UserError
from vrex_hw.config import CONFIGS, NUMBER_BITS, Config, HCUConfig, KVMUConfig, LXEConfig, WTUConfig

MOST_CLUSTERS = (1 << NUMBER_BITS) - 1
LANES = 16
HASH_WIDTH = 16
SCORES = CONFIGS["core"].lxe.score_rows * CONFIGS["core"].wtu.entries
"""Scores in a batch: as many as the core's memory holds."""
RESIDENT = 4
"""Sealed clusters for each resident slot of hardware that is sized for a trace."""
LARGEST_SLOT = 256
"""Tokens of a slot, at most."""
DEEPEST_JOINABLE, DEEPEST_OPEN, LONGEST_ROW, MOST_RESIDENT = 8192, 16384, 32768, 4096
"""The greatest depths that :mod:`vrex_hw.config` takes."""


def windows(trace: Trace, params: Params, stored: int = 0) -> tuple[int, int]:
    """Return recent_window and join_window in tokens, cut to the length of the stream.

    A window longer than the stream means the same as one of its length, and fits a register.
    ``stored``: tokens of the stream before the trace.
    """
    tokens = max(1, stored + int(trace.frame_lengths.sum()))
    return min(params.recent_window, tokens), min(params.join_window, tokens)


def cap(trace: Trace, params: Params, stored: int = 0) -> int:
    """Return cluster_cap, cut to what a window can hold during a frame: more means the same."""
    return min(params.cluster_cap, windows(trace, params, stored)[0] + trace.tokens)


def sinks(trace: Trace, params: Params, stored: int = 0) -> int:
    """Return n_sinks, cut to the length of the stream."""
    return min(params.n_sinks, stored + int(trace.frame_lengths.sum()))


def size_for(
    trace: Trace, params: Params, sealed: int | None = None, room: int | None = None
) -> Config:
    """Return the smallest configuration of 16 lanes that runs ``trace`` under ``params``.

    Its LXE is the core's, with as many rows in a batch of scores as fit the core's memory.

    ``sealed`` is the most clusters that any KV head has sealed when it is scored; left out, one
    cluster a token is assumed. ``room``: resident slots of a head that it must have. Raises
    :class:`~vrex.UserError`, naming the parameter, where no configuration is large enough.
    """
    recent, join = windows(trace, params)
    if sealed is None:
        sealed = max(0, int(trace.frame_lengths.sum()) - recent)
    opened = _power(recent + trace.tokens)
    _most("recent_window + T", recent + trace.tokens, DEEPEST_OPEN, "shorten recent_window")
    _most("join_window", join, DEEPEST_JOINABLE, "shorten it")
    _most("sealed clusters", sealed, LONGEST_ROW, "raise hamming_threshold or cut the trace")
    slot = max(cap(trace, params), sinks(trace, params))
    _most("cluster_cap or n_sinks", slot, LARGEST_SLOT, "lower it")
    _most("room", room or 0, MOST_RESIDENT, "lower it")
    resident = _power(max(2, sealed // RESIDENT, room or 0))
    joinable = max(4, _power(join))
    entries = max(2 * LANES, _power(sealed))
    return Config(
        name="trace",
        head_dims=(trace.head_dim,),
        hcu=HCUConfig(
            hyperplanes=params.n_hyperplanes,
            width=min(HASH_WIDTH, params.n_hyperplanes),
            joinable=joinable,
            open=max(joinable, opened),
        ),
        wtu=WTUConfig(lanes=LANES, entries=entries),
        lxe=LXEConfig(score_rows=max(1, min(LXEConfig.rows, SCORES // entries))),
        kvmu=KVMUConfig(
            slot_tokens=max(4, _power(slot)),
            window_slots=max(4, opened),
            resident_slots=resident,
        ),
    )


def _power(value: int) -> int:
    """Return the least power of two that is not below ``value``."""
    return 1 << max(0, value - 1).bit_length()


def _most(what: str, value: int, most: int, mend: str) -> None:
    if value > most:
        raise UserError(f"{what} is {value}: the rtl engine takes {most} at most, so {mend}")


def check_fits(trace: Trace, params: Params, config: Config, room: int | None = None) -> None:
    """Raise :class:`~vrex.UserError`, naming field and value, unless ``config`` takes the trace.

    ``room``: resident slots of a head that it must have. This is what can be told before the trace
    is run; the rest is :func:`check_clusters`.
    """
    recent, join = windows(trace, params)
    if trace.head_dim not in config.head_dims:
        raise UserError(
            f"configuration {config.name}: head_dims is {list(config.head_dims)}: the trace has "
            f"head dimension {trace.head_dim}, so add it, or leave the configuration out"
        )
    _enough(
        config, "hcu.hyperplanes", config.hcu.hyperplanes, "n_hyperplanes", params.n_hyperplanes
    )
    _enough(config, "hcu.joinable", config.hcu.joinable, "join_window", join)
    _enough(config, "hcu.open", config.hcu.open, "recent_window + T", recent + trace.tokens)
    slot = config.kvmu.slot_tokens
    _enough(config, "kvmu.slot_tokens", slot, "cluster_cap", cap(trace, params))
    _enough(config, "kvmu.slot_tokens", slot, "n_sinks", sinks(trace, params))
    _enough(config, "kvmu.resident_slots", config.kvmu.resident_slots, "room", room or 0)


def arithmetic(config: Config) -> dict[str, int]:
    """Return the beat and window of the engine's aligned sum: its numerics.

    The exact reference agrees with ``config`` where :func:`resv_ref.run.run` is given these.
    """
    return {"beat": config.lxe.side, "window": config.lxe.window}


def check_clusters(config: Config, clusters: int, sealed: int, opened: int) -> None:
    """Raise :class:`~vrex.UserError` unless ``config`` takes the clusters of a trace.

    ``clusters`` and ``sealed`` are the most that any KV head opens, and has sealed when scored;
    ``opened`` the most that it has open at once.
    """
    _enough(config, "kvmu.window_slots", config.kvmu.window_slots, "the most open clusters", opened)
    _enough(config, "wtu.entries", config.wtu.entries, "the most sealed clusters", sealed)
    _most("clusters of a KV head", clusters, MOST_CLUSTERS, "cut the trace")


def _enough(config: Config, field: str, has: int, what: str, needs: int) -> None:
    if needs > has:
        raise UserError(
            f"configuration {config.name}: {field} is {has}: {what} is {needs}, so raise the field "
            "that far, or leave the configuration out"
        )
