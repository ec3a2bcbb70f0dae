"""The trace file: queries, keys and values of a stream, of one layer or several, as safetensors.

Layout: our decision, described in ``docs/trace.md``. Nothing is unpickled, and the header is
checked against the file's size before any tensor is read.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resv_ref import files
from vrex import Params, UserError

METADATA_KEY = "resv"
"""The metadata entry that holds the parameters as a JSON object."""
REQUIRED = ("q", "k", "v")
OPTIONAL = ("k_hash", "q_retrieve", "hyperplanes", "frame_lengths", "text")
OF_STEPS = {"frame_lengths": "I32", "text": "BOOL"}
"""Tensors [F] and their dtypes in a file; all others are BF16."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """A stream: F frames of at most T tokens. Frozen; the tensors are not copied.

    One layer of it, or L layers, which share lengths, text and hyperplanes; then ``q``, ``k``,
    ``v``, ``k_hash`` and ``q_retrieve`` have an axis L in front of those below.

    Tokens past a frame's length are padding: never read, and may hold anything, NaN included.
    """

    params: Params
    q: Tensor
    """[F, T, Hq, d] bfloat16, after RoPE."""
    k: Tensor
    """[F, T, Hkv, d] bfloat16, after RoPE."""
    v: Tensor
    """[F, T, Hkv, d] bfloat16."""
    k_hash: Tensor | None = None
    """[F, T, Hkv, d] bfloat16, keys before RoPE; needed where ``hash_keys`` is pre_rope."""
    q_retrieve: Tensor | None = None
    """[F, T, Hq, d] bfloat16; needed where ``query`` is previous_layer."""
    hyperplanes: Tensor | None = None
    """[N_hp, d] bfloat16; where ``cluster_scope`` is per_layer [N_hp, Hkv * d] is taken too."""
    frame_lengths: Tensor
    """[F] int32, 1 to T: live tokens of each frame."""
    text: Tensor | None = None
    """[F] bool: which frames are text steps, of a question or an answer; None: see
    :attr:`text_steps`."""

    @property
    def layers(self) -> int | None:
        """L; None without the axis."""
        return self.q.shape[0] if self.q.ndim == 5 else None

    @property
    def frames(self) -> int:
        """F."""
        return self.q.shape[-4]

    @property
    def tokens(self) -> int:
        """T, the longest frame."""
        return self.q.shape[-3]

    @property
    def q_heads(self) -> int:
        """Hq."""
        return self.q.shape[-2]

    @property
    def kv_heads(self) -> int:
        """Hkv; it divides Hq."""
        return self.k.shape[-2]

    @property
    def head_dim(self) -> int:
        """Head dimension d."""
        return self.q.shape[-1]

    @property
    def text_steps(self) -> Tensor:
        """Which frames are text steps, [F] bool: ``text``; without it those of one token, where
        frames have more.
        """
        if self.text is not None:
            return self.text
        return (self.frame_lengths == 1) & (self.tokens > 1)

    def with_params(self, params: Params) -> Self:
        """Return the same stream under other parameters; :func:`check` it before use."""
        return dataclasses.replace(self, params=params)

    def frames_from(self, first: int) -> Self:
        """Return the stream's frames from number ``first`` on."""
        cut: dict[str, Any] = {
            name: tensor[first:] if name in OF_STEPS else tensor[..., first:, :, :, :]
            for name, tensor in self.tensors().items()
            if name != "hyperplanes"
        }
        return dataclasses.replace(self, **cut)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by their names in the file, absent ones left out."""
        named = {name: getattr(self, name) for name in REQUIRED + OPTIONAL}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def metadata(self) -> dict[str, str]:
        """Return the file's metadata: every parameter, as JSON."""
        return {METADATA_KEY: self.params.to_json()}


def read(path: str | Path, change: Callable[[Params], Params] | None = None) -> Trace:
    """Read and check a trace file.

    ``change`` maps the file's parameters to those to use (a mode, single settings); what the
    trace must bring is checked against its result. Tensors with other names are not read.

    Raises :class:`~vrex.UserError`, one line with the file, the tensor, what is wrong and what
    to do.
    """
    path = Path(path)
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            params = _params(path, metadata)
            names = set(file.keys())
            _check_names(path, names)
            for name in REQUIRED + OPTIONAL:
                if name in names:
                    _check_dtype(path, name, file.get_slice(name).get_dtype())
            tensors = {n: file.get_tensor(n) for n in REQUIRED + OPTIONAL if n in names}
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check the path of the trace") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a readable safetensors file ({error}); write the trace anew with "
            "safetensors"
        ) from None
    if "frame_lengths" not in tensors:
        frames, tokens = (0, 0, 0, 0, *tensors["q"].shape)[-4:-2]
        tensors["frame_lengths"] = torch.full((frames,), tokens, dtype=torch.int32)
    trace = Trace(params=params if change is None else change(params), **tensors)
    check(trace, str(path))
    return trace


def _params(path: Path, metadata: Mapping[str, str]) -> Params:
    try:
        return Params.from_json(metadata.get(METADATA_KEY, "{}"))
    except UserError as error:
        raise UserError(f"{path}: {error}; correct the file's metadata") from None


def _check_names(path: Path, names: set[str]) -> None:
    for name in REQUIRED:
        if name not in names:
            raise UserError(f"{path}: tensor {name} is missing; a trace needs q, k and v")


def _check_dtype(path: Path, name: str, dtype: str) -> None:
    wanted = OF_STEPS.get(name, "BF16")
    if dtype != wanted:
        raise UserError(f"{path}: tensor {name} has dtype {dtype}; store it as {wanted}")


def check(trace: Trace, where: str = "trace") -> None:
    """Check shapes, lengths, what the parameters need, and that every live value is finite.

    Raises :class:`~vrex.UserError` that starts with ``where``.
    """
    _check_shapes(trace, where)
    _check_needs(trace, where)
    for name, tensor in trace.tensors().items():
        if name == "hyperplanes":
            _check_finite(where, name, ~torch.isfinite(tensor))
        elif name not in OF_STEPS:
            bad = ~torch.isfinite(tensor) & live(trace)[:, :, None, None]
            _check_finite(where, name, bad)


def live(trace: Trace) -> Tensor:
    """Return which tokens are live, [F, T] bool."""
    return torch.arange(trace.tokens)[None, :] < trace.frame_lengths[:, None]


def _check_shapes(trace: Trace, where: str) -> None:
    if trace.q.ndim not in (4, 5) or 0 in trace.q.shape:
        raise UserError(
            f"{where}: tensor q has shape {list(trace.q.shape)}; it must be [F, T, Hq, d], or "
            "[L, F, T, Hq, d] for several layers, none of them 0"
        )
    *front, q_heads, d = trace.q.shape
    frames, tokens = front[-2:]
    kv_heads = trace.k.shape[-2] if trace.k.ndim == trace.q.ndim else 0
    if kv_heads == 0 or q_heads % kv_heads:
        raise UserError(
            f"{where}: tensor k has shape {list(trace.k.shape)}; it must be "
            f"[{', '.join(map(str, front))}, Hkv, {d}] with Hkv a divisor of the {q_heads} query "
            "heads"
        )
    of_keys = (*front, kv_heads, d)
    shapes = {
        "k": of_keys,
        "v": of_keys,
        "k_hash": of_keys,
        "q_retrieve": (*front, q_heads, d),
        **dict.fromkeys(OF_STEPS, (frames,)),
        "hyperplanes": _planes_shape(trace),
    }
    for name, shape in shapes.items():
        tensor = getattr(trace, name)
        if tensor is not None and tuple(tensor.shape) != shape:
            raise UserError(
                f"{where}: tensor {name} has shape {list(tensor.shape)}; it must be "
                f"{list(shape)} to fit q {list(trace.q.shape)} and the parameters"
            )
    outside = (trace.frame_lengths < 1) | (trace.frame_lengths > tokens)
    if outside.any():
        frame = int(outside.nonzero()[0])
        raise UserError(
            f"{where}: tensor frame_lengths is {int(trace.frame_lengths[frame])} at frame "
            f"{frame}; it must be 1 to {tokens}"
        )


def _planes_shape(trace: Trace) -> tuple[int, int]:
    planes, wide = trace.hyperplanes, trace.kv_heads * trace.head_dim
    for_layer = (
        trace.params.cluster_scope == "per_layer"
        and planes is not None
        and planes.shape[1:] == (wide,)
    )
    return trace.params.n_hyperplanes, wide if for_layer else trace.head_dim


def _check_needs(trace: Trace, where: str) -> None:
    if trace.params.hash_keys == "pre_rope" and trace.k_hash is None:
        raise UserError(
            f"{where}: tensor k_hash is missing and hash_keys is pre_rope; add the keys before "
            "RoPE or set hash_keys=post_rope"
        )
    if trace.params.query == "previous_layer" and trace.q_retrieve is None:
        raise UserError(
            f"{where}: tensor q_retrieve is missing and query is previous_layer; add it or set "
            "query=same_layer"
        )


def _check_finite(where: str, name: str, bad: Tensor) -> None:
    if bad.any():
        index = bad.nonzero()[0].tolist()
        raise UserError(
            f"{where}: tensor {name} is not finite at {index}; live values must be finite, so "
            "mend it or shorten the frame"
        )


def hyperplanes(trace: Trace) -> Tensor:
    """Return the planes to hash with: the trace's own, or :func:`draw_hyperplanes`.

    Planes of one head cannot hash the concatenated keys of a layer: where ``cluster_scope`` is
    per_layer they are drawn too, unless the trace's are [N_hp, Hkv * d].
    """
    per_layer = trace.params.cluster_scope == "per_layer"
    width = trace.head_dim * (trace.kv_heads if per_layer else 1)
    planes = trace.hyperplanes
    if planes is not None and planes.shape[1] == width:
        return planes
    return draw_hyperplanes(trace.params.n_hyperplanes, width)


def draw_hyperplanes(count: int, width: int) -> Tensor:
    """Return what a trace without hyperplanes uses: [count, width] bfloat16.

    Standard normal from numpy's PCG64 with seed 0, in float64 and then to nearest even.
    """
    normal = np.random.Generator(np.random.PCG64(0)).standard_normal((count, width))
    return torch.from_numpy(normal).to(torch.bfloat16)


def write(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all (:func:`resv_ref.files.whole`).

    Raises :class:`~vrex.UserError` if it cannot be written.
    """
    contiguous: dict[str, Any] = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        with files.whole(path) as unfinished:
            save_file(contiguous, unfinished, metadata=dict(metadata))
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be written ({error}); choose another place") from None
