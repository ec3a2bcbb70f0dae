"""Sizes of the hardware: what is generated, as opposed to ReSV's parameters, which are registers.

Every object here is frozen, keyword-only and checked when it is made. An error names the field,
its value and what would do.
"""

import dataclasses
import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amaranth.utils import ceil_log2, exact_log2

from vrex.errors import UserError

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
"""What a configuration may be called: its name is written into the Verilog and the header."""
NUMBER_BITS = 16
"""Width of a cluster number and of a token index (modulo 2^16) at every port."""


def _check(owner: str, obj: Any, name: str, low: int, high: int) -> None:
    value = getattr(obj, name)
    if type(value) is not int or not low <= value <= high:
        raise UserError(
            f"configuration: {owner}.{name} is {value!r}: it must be a whole number "
            f"from {low} to {high}"
        )


def _check_power(owner: str, obj: Any, name: str, low: int, high: int) -> None:
    _check(owner, obj, name, low, high)
    value = getattr(obj, name)
    if value & (value - 1):
        below = 1 << (value.bit_length() - 1)
        raise UserError(
            f"configuration: {owner}.{name} is {value}: it must be a power of two, "
            f"such as {below} or {2 * below}"
        )


@dataclass(frozen=True, kw_only=True)
class HCUConfig:
    """Hash-bit cluster unit (paper: N_HCU_h accumulators of N_HCU_w bits, 1,024 cached hashes)."""

    hyperplanes: int = 32
    """Hash bits a key (N_hp), 1 to 64."""
    width: int = 16
    """Bits that one XOR accumulator takes a cycle (N_HCU_w), 1 to ``hyperplanes``."""
    accumulators: int = 1
    """Clusters compared in parallel (N_HCU_h), a power of two, 1 to 64."""
    joinable: int = 1024
    """Depth of the ring of joinable clusters' hashes, a power of two; bounds join_window."""
    open: int = 2048
    """Depth of the ring of open clusters' counts, a power of two, ``joinable`` or more."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check("hcu", self, "hyperplanes", 1, 64)
        _check("hcu", self, "width", 1, self.hyperplanes)
        _check_power("hcu", self, "accumulators", 1, 64)
        _check_power("hcu", self, "joinable", max(4, 2 * self.accumulators), 8192)
        _check_power("hcu", self, "open", self.joinable, 16384)

    @property
    def phases(self) -> int:
        """Cycles a compare: ceil(hyperplanes / width)."""
        return -(-self.hyperplanes // self.width)


@dataclass(frozen=True, kw_only=True)
class WTUConfig:
    """WiCSum threshold unit (paper: 16 lanes, 4,096 clusters)."""

    lanes: int = 16
    """Clusters taken a cycle (N_WTU_w), a power of two, 1 to 64."""
    entries: int = 4096
    """Longest row in clusters, a power of two, ``2 * lanes`` or more."""
    weight_bits: int = 16
    """Width of a weight; less than 16 is for bounded proofs."""
    count_bits: int = 16
    """Width of a token count; less than 16 is for bounded proofs."""
    digit_bits: int = 4
    """Bits of the sort key that one round resolves: each lane keeps 2^digit_bits bins, 1 to 6."""
    candidates: int = 16
    """Entries of each lane's candidate buffer, a power of two, 2 to 256."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check_power("wtu", self, "lanes", 1, 64)
        _check_power("wtu", self, "entries", 2 * self.lanes, 32768)
        _check("wtu", self, "weight_bits", 2, 16)
        _check("wtu", self, "count_bits", 1, 16)
        _check("wtu", self, "digit_bits", 1, 6)
        _check_power("wtu", self, "candidates", 2, 256)

    @property
    def words(self) -> int:
        """Depth of the row memory: one word holds one entry of every lane."""
        return self.entries // self.lanes

    @property
    def lane_bits(self) -> int:
        """Low bits of a cluster number that name its lane."""
        return exact_log2(self.lanes)

    @property
    def word_bits(self) -> int:
        """High bits of a cluster number that name its word."""
        return ceil_log2(self.words)


@dataclass(frozen=True, kw_only=True)
class LXEConfig:
    """LLM execution engine (paper: DPE of 64 trees by 64 inputs, VPE of 64 lanes, 384 KB).

    The DPE is square: what its trees give, a row of scores, becomes their inputs in the product
    with the values. So one number is N_DPE_h, N_DPE_w, N_VPE_w, the products of a beat and the
    tokens of an attention tile: it is part of the numerics.
    """

    side: int = 64
    """Trees, inputs of a tree, lanes and tokens of a tile; a power of two, 4 to 64."""
    window: int = 28
    """Bits that a product or the accumulator keeps once it is aligned, 25 to 30: an accumulator
    that nothing is added to stays as it is."""
    load_rows: int = 1
    """Rows of ``side`` elements that the matrix port brings a cycle: 1, 2 or 4."""
    rows: int = 40
    """Most activation rows (query rows, keys to hash) of a command, 2 to 256."""
    score_rows: int = 10
    """Rows of a batch of scores, 1 to ``rows``: the score memory holds two batches."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check_power("lxe", self, "side", 4, 64)
        _check("lxe", self, "window", 25, 30)
        _check_power("lxe", self, "load_rows", 1, 4)
        _check("lxe", self, "rows", 2, 256)
        _check("lxe", self, "score_rows", 1, self.rows)


@dataclass(frozen=True, kw_only=True)
class KVMUConfig:
    """KV cache management unit (paper: KVMU): memory and link, and what a KV head keeps where.

    Memory is counted in *lines* of one row of the LXE's matrix, ``2 * lxe.side`` bytes.
    """

    bus_bytes: int = 128
    """Data bytes of the AXI4 port to device memory, a power of two, 4 to ``2 * lxe.side``."""
    address_bits: int = 40
    """Byte address bits of that port, 32 to 64."""
    slot_tokens: int = 32
    """Tokens of a slot, the room of one cluster: a power of two, 4 to 256; bounds cluster_cap."""
    window_slots: int = 512
    """Slots of a head's open clusters, a power of two, 4 to 16384: so many may be open at once."""
    resident_slots: int = 1024
    """Most slots of a head for fetched clusters that stay, a power of two, 2 to 4096."""
    request_lines: int = 512
    """Most lines of a fetch from the host link, a power of two, 64 to 32768."""
    outstanding: int = 8
    """Requests under way on the host link, a power of two, 2 to 64."""
    jobs: int = 8
    """Jobs that wait in the core, a power of two, 2 to 64."""

    def __post_init__(self) -> None:
        """Check every field."""
        _check_power("kvmu", self, "bus_bytes", 4, 128)
        _check("kvmu", self, "address_bits", 32, 64)
        _check_power("kvmu", self, "slot_tokens", 4, 256)
        _check_power("kvmu", self, "window_slots", 4, 16384)
        _check_power("kvmu", self, "resident_slots", 2, 4096)
        _check_power("kvmu", self, "request_lines", 64, 32768)
        _check_power("kvmu", self, "outstanding", 2, 64)
        _check_power("kvmu", self, "jobs", 2, 64)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One V-Rex core."""

    name: str = "custom"
    """Names the configuration in manifests and reports."""
    head_dims: tuple[int, ...] = (64, 128)
    """Head dimensions d that the core's engine is built for."""
    hcu: HCUConfig = field(default_factory=HCUConfig)
    wtu: WTUConfig = field(default_factory=WTUConfig)
    lxe: LXEConfig = field(default_factory=LXEConfig)
    kvmu: KVMUConfig = field(default_factory=KVMUConfig)

    def __post_init__(self) -> None:
        """Check what spans the units."""
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise UserError(
                f"configuration: name is {self.name!r}: it must be of letters, digits, '.', '_' "
                "and '-', 64 at most"
            )
        dims = self.head_dims
        if not dims or not all(type(d) is int and 1 <= d <= 1024 for d in dims):
            raise UserError(
                f"configuration: head_dims is {dims!r}: it must list whole numbers from 1 to 1024"
            )
        if self.wtu.lanes > self.lxe.side:
            raise UserError(
                f"configuration: wtu.lanes is {self.wtu.lanes}: it must be lxe.side, "
                f"{self.lxe.side}, or less, as a word of scores holds {self.lxe.side}"
            )

    def require_core(self) -> None:
        """Refuse what the units can do but the whole core cannot (bounds of its memory's layout).

        Raises :class:`~vrex.errors.UserError`.
        """
        line, wanted = 2 * self.lxe.side, None
        if self.lxe.side < 8:
            wanted = f"lxe.side is {self.lxe.side}: it must be 8 or more, as a line holds an entry"
        elif self.lxe.load_rows != 1:
            wanted = f"lxe.load_rows is {self.lxe.load_rows}: it must be 1, a line is a row"
        elif self.kvmu.bus_bytes > line:
            wanted = f"kvmu.bus_bytes is {self.kvmu.bus_bytes}: it must be {line} or less, a line"
        for dimension in self.head_dims:
            beats = -(-dimension // self.lxe.side)
            if beats & (beats - 1):
                wanted = (
                    f"head_dims has {dimension}: it must be lxe.side, {self.lxe.side}, times a "
                    "power of two, or less than lxe.side"
                )
        if wanted:
            raise UserError(f"configuration {self.name}, top core: {wanted}")

    @property
    def chunks(self) -> int:
        """Most beats of a row: ceil(d / lxe.side) for the largest head dimension."""
        return -(-max(self.head_dims) // self.lxe.side)

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as plain values, fields in order."""
        return dataclasses.asdict(self)

    @property
    def fingerprint(self) -> int:
        """32 bits of the SHA-256 of the sizes (the name left out); a register reads it back."""
        sizes = {k: v for k, v in self.to_dict().items() if k != "name"}
        text = json.dumps(sizes, sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


CONFIGS: dict[str, Config] = {
    "core": Config(name="core"),
    "ulx3s": Config(
        name="ulx3s",
        hcu=HCUConfig(joinable=256, open=512),
        wtu=WTUConfig(lanes=8, entries=1024),
        lxe=LXEConfig(side=8, score_rows=10),
        kvmu=KVMUConfig(
            bus_bytes=16,
            address_bits=32,
            window_slots=256,
            resident_slots=256,
            outstanding=4,
            jobs=4,
        ),
    ),
    "tiny": Config(
        name="tiny",
        head_dims=(8, 16, 32, 64),
        hcu=HCUConfig(hyperplanes=32, width=16, joinable=16, open=64),
        wtu=WTUConfig(lanes=4, entries=64, candidates=4),
        lxe=LXEConfig(side=8, rows=12, score_rows=4),
        kvmu=KVMUConfig(
            bus_bytes=8,
            address_bits=32,
            slot_tokens=8,
            window_slots=64,
            resident_slots=8,
            request_lines=64,
            outstanding=4,
            jobs=4,
        ),
    ),
}
"""The named configurations: the paper's core, what fits an LFE5U-85F, and fast tests."""


def load(name_or_file: str) -> Config:
    """Return a named configuration, or read one from a TOML file (a path that ends in .toml).

    A file has the fields of :class:`Config`; ``[hcu]``, ``[wtu]``, ``[lxe]`` and ``[kvmu]`` are
    tables, a missing field takes its default; ``name`` is the file's, if it can be one. Raises
    :class:`~vrex.errors.UserError`.
    """
    if name_or_file in CONFIGS:
        return CONFIGS[name_or_file]
    if not name_or_file.endswith(".toml"):
        raise UserError(
            f"unknown configuration {name_or_file!r}: known are {', '.join(CONFIGS)}, "
            "or give a file that ends in .toml"
        )
    path = Path(name_or_file)
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"configuration file {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"configuration file {path}: {error}") from None
    name = path.stem if NAME.fullmatch(path.stem) else Config.name
    return from_dict({"name": name, **values}, str(path))


def from_dict(values: dict[str, Any], where: str = "configuration") -> Config:
    """Return the configuration of ``values`` (:meth:`Config.to_dict`), checked.

    ``where`` they come from is named in errors. Raises :class:`~vrex.errors.UserError`.
    """
    tables: dict[str, Any] = {
        "hcu": HCUConfig,
        "wtu": WTUConfig,
        "lxe": LXEConfig,
        "kvmu": KVMUConfig,
    }
    made: dict[str, Any] = {}
    known = [f.name for f in dataclasses.fields(Config)]
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{where}: unknown field {name!r}: known are {', '.join(known)}")
        if name in tables:
            made[name] = _table(tables[name], name, value, where)
        elif name == "head_dims":
            if not isinstance(value, list | tuple):
                raise UserError(f"{where}: head_dims is {value!r}: it must be a list")
            made[name] = tuple(value)
        elif not isinstance(value, str):
            raise UserError(f"{where}: name is {value!r}: it must be a string")
        else:
            made[name] = value
    return Config(**made)


def _table(cls: Any, name: str, value: Any, where: str) -> Any:
    known = [f.name for f in dataclasses.fields(cls)]
    if not isinstance(value, dict):
        raise UserError(f"{where}: {name} is {value!r}: it must be a table, [{name}]")
    unknown = sorted(value.keys() - set(known))
    if unknown:
        raise UserError(f"{where}: unknown field {name}.{unknown[0]}: known are {', '.join(known)}")
    return cls(**value)
