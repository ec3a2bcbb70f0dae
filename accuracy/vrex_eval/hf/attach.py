"""Attach a method to a transformers model, through its registry of attention functions.

The model's own projections, RoPE and cache stay as they are; a hook on each attention layer notes
its input, from which keys before RoPE and the next layer's early queries are made.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from vrex import Params, UserError
from vrex_eval.hf.layers import attention_layers, plain, rotate
from vrex_eval.method import LayerCache, Method, Stage, Step
from vrex_eval.methods.attention import by_head
from vrex_eval.methods.resv import ReSV
from vrex_eval.record import COUNTS, Recorded

NAME = "vrex"
"""What transformers calls the attention function."""

ATTACHED: "WeakKeyDictionary[nn.Module, Attached]" = WeakKeyDictionary()
"""The attention layers that a method is attached to."""


def attach(model: Any, method: Method | Params | None = None, *, chunk: int = 10) -> "Attached":
    """Let ``method`` attend in every layer of a transformers model of Llama's or Qwen's kind.

    ``method`` is any of :func:`vrex_eval.methods.make`, or parameters of ReSV; None: ReSV's
    recommended mode. Several tokens at once are taken as frames of ``chunk`` tokens, one at a
    time; a single one as text (:attr:`Attached.stage` says otherwise). The batch has no padding.

    Raises :class:`~vrex.UserError` where transformers is missing or the model does not fit.
    """
    register()
    if chunk < 1:
        raise UserError(f"chunk is {chunk}: it must be 1 or more")
    if method is None or isinstance(method, Params):
        method = ReSV(name="resv", params=method or Params())
    return Attached(model, method, chunk)


class Attached:
    """A model with a method attached; :meth:`detach` gives it its own attention back.

    It is a context manager that detaches at the end. A forward pass without a cache, or with an
    empty one, begins new streams.
    """

    def __init__(self, model: Any, method: Method, chunk: int) -> None:
        """Attach; see :func:`attach`."""
        self.model, self.chunk = model, chunk
        self.stage: Stage | None = None
        """What the tokens of the next forward pass are; None: several are frames, one is text."""
        self.recorded = Recorded(method)
        self.layers = attention_layers(model)
        for layer in self.layers:
            if layer in ATTACHED:
                raise UserError("the model has a method attached already: detach that first")
        self._before = model.config._attn_implementation
        model.set_attn_implementation(NAME)
        self._inputs: dict[int, dict[str, Any]] = {}
        self._caches: dict[int, LayerCache] = {}
        self._tokens: dict[int, int] = {}
        self._hooks = []
        for number, layer in enumerate(self.layers):
            ATTACHED[layer] = self
            hook = self._noting(number)
            self._hooks.append(layer.register_forward_pre_hook(hook, with_kwargs=True))

    def detach(self) -> None:
        """Give the model its own attention back; doing so twice does no harm."""
        for hook in self._hooks:
            hook.remove()
        for layer in self.layers:
            ATTACHED.pop(layer, None)
        if self._hooks:
            self.model.set_attn_implementation(self._before)
        self._hooks, self._caches, self._inputs = [], {}, {}

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Detach."""
        self.detach()

    def snapshot(self) -> dict[int, tuple[LayerCache, int]]:
        """Return the streams as they are, to :meth:`restore` after a question.

        transformers' own cache has to be copied beside it (``copy.deepcopy``).
        """
        return {n: (cache.fork(), self._tokens[n]) for n, cache in self._caches.items()}

    def restore(self, snapshot: dict[int, tuple[LayerCache, int]]) -> None:
        """Go on from a snapshot, which stays as it is."""
        self._caches = {n: cache.fork() for n, (cache, _) in snapshot.items()}
        self._tokens = {n: tokens for n, (_, tokens) in snapshot.items()}

    def reads(self) -> dict[str, float]:
        """Return what was read since the last call, as shares of the past: read, fetched, overhead.

        0 where there was no past.
        """
        if not self.recorded.tally:
            return dict.fromkeys(COUNTS[:-1], 0.0)
        *parts, past = self.recorded.tally.take().sum((1, 2, 3)).tolist()
        names = COUNTS[:-1]
        return {name: part / max(past, 1) for name, part in zip(names, parts, strict=True)}

    def _noting(self, number: int) -> Callable[..., None]:
        """Return the hook that notes a layer's input and the rotation of its positions."""

        def note(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            turn = args[1] if len(args) > 1 else kwargs["position_embeddings"]
            if turn[0].shape[-1] != layer.head_dim:
                raise UserError("the model rotates a part of the head: only whole ones are known")
            self._inputs[number] = {"hidden": hidden, "turn": turn}

        return note

    def attend(self, layer: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend with a layer's new tokens, chunk by chunk; return [B, T, Hq, d].

        ``q`` [B, Hq, T, d]; ``k``, ``v`` [B, Hkv, N, d] with transformers' whole cache, of which
        the last T tokens are new; ``mask``: transformers' own, which may hide no past token.
        """
        number = self.layers.index(layer)
        tokens, past = q.shape[2], k.shape[2] - q.shape[2]
        self._begin(number, past)
        if number == 0 and mask is not None and _hides(mask):
            raise UserError("the batch is padded: a method attends streams of equal length only")
        of_step = self._step(number, by_head(q), by_head(k[:, :, past:]), by_head(v[:, :, past:]))
        stage = self.stage or (Stage.TEXT if tokens == 1 else Stage.FRAME)
        outs = []
        for first in range(0, tokens, self.chunk):
            part = {n: x[:, first : first + self.chunk] for n, x in of_step.items()}
            outs.append(self._caches[number].attend(Step(stage=stage, **part)).out)
        self._tokens[number] += tokens
        return torch.cat(outs, 1)

    def _begin(self, number: int, past: int) -> None:
        """Start streams where there is no past; refuse a past that was not seen here."""
        if past == 0:
            self._caches[number] = self.recorded.layer(number, len(self.layers))
            self._tokens[number] = 0
        elif self._tokens.get(number) != past:
            raise UserError(
                f"the model's cache holds {past} tokens, of which {self._tokens.get(number, 0)} "
                "were seen since attach: begin with an empty cache, or restore a snapshot"
            )

    def _step(self, number: int, q: Tensor, k: Tensor, v: Tensor) -> dict[str, Tensor]:
        layer, noted = self.layers[number], self._inputs[number]
        made = {
            "q": q,
            "k": k,
            "v": v,
            "q_plain": plain(layer, noted["hidden"], "q"),
            "k_plain": plain(layer, noted["hidden"], "k"),
        }
        if number:
            before = self._inputs[number - 1]["hidden"].to(noted["hidden"].device)
            made["q_previous"] = rotate(plain(layer, before, "q"), noted["turn"])
        return made


def _hides(mask: Tensor) -> bool:
    """Tell whether a mask, bool or added to scores, hides a token from the latest one."""
    latest = mask[..., -1, :]
    seen = latest if latest.dtype == torch.bool else latest == 0
    return not bool(seen.all())


def register() -> None:
    """Tell transformers about the attention function and that its mask is SDPA's."""
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import sdpa_mask
    except ImportError:
        raise UserError("transformers is not installed: pip install 'vrex[hf]'") from None
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as the attached method does; other layers (an image encoder's) as SDPA does."""
    attached = ATTACHED.get(module)
    if attached is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return out, None
    return attached.attend(module, query, key, value, attention_mask), None
