"""ReSV as the hardware has it, bit for bit: :class:`resv_ref.ReSV`, stream by stream."""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

import resv_ref
from resv_ref.run import one_thread
from vrex import UserError
from vrex_eval.method import Attended, Stage, Step
from vrex_eval.methods.resv import ReSV


@dataclass(frozen=True, kw_only=True)
class ReSVExact(ReSV):
    """What the hardware's roundings cost. Slow: on the CPU, token by token."""

    def __post_init__(self) -> None:
        """Refuse what the hardware does not do."""
        super().__post_init__()
        if self.stage != "both":
            raise UserError(f"method {self.name}: stage is {self.stage!r}: exact picks at both")
        for stage in Stage:
            self.params_at(stage).require_exact(f"{self.name} method's exact")

    def layer(self, index: int, layers: int) -> "ReSVExactCache":
        """Return an empty cache for layer ``index`` of ``layers``."""
        return ReSVExactCache(self)


class ReSVExactCache:
    """One reference for each stream; attention is the hardware's as well."""

    def __init__(self, method: ReSVExact) -> None:
        """Start empty."""
        self.method = method
        self.streams: list[resv_ref.ReSV] = []

    def attend(self, step: Step) -> Attended:
        """Step every stream's reference."""
        if not self.streams:
            self.streams = [resv_ref.ReSV(self.method.params, engine="exact") for _ in step.q]
        past = self.streams[0].stored
        with one_thread():
            taken = [self._step(b, resv, step) for b, resv in enumerate(self.streams)]
        device = step.q.device
        keep = torch.zeros(*step.k.shape[::2][:2], past, dtype=torch.bool)
        for b, selection in enumerate(taken):
            for head in range(keep.shape[1]):
                keep[b, head, selection.tokens[head]] = True
                keep[b, head, selection.resident[head]] = True
        fetched = torch.tensor([[len(n) for n in s.tokens] for s in taken])
        out = torch.stack([s.attention for s in taken if s.attention is not None])
        sealed = torch.stack([s.sealed for s in taken])
        return Attended(
            out=out.to(device, step.q.dtype),
            past=past,
            read=keep.sum(-1).to(device),
            fetched=fetched.to(device),
            overhead=sealed.to(device) * self.method.representative,
            keep=keep.to(device),
        )

    def _step(self, b: int, resv: resv_ref.ReSV, step: Step) -> resv_ref.Selection:
        def given(x: Tensor | None) -> Tensor | None:
            return None if x is None else x[b].detach().cpu().bfloat16()

        # Selection alone follows it: clusters keep the parameters that they were made with.
        resv.params = self.method.params_at(step.stage)
        previous = step.q if step.q_previous is None else step.q_previous
        return resv.step(
            step.q[b].detach().cpu().bfloat16(),
            step.k[b].detach().cpu().bfloat16(),
            given(step.v),
            k_hash=given(step.k_plain),
            q_retrieve=given(previous),
            text=step.stage is Stage.TEXT,
        )

    def fork(self) -> Self:
        """Return a copy that shares nothing."""
        return copy.deepcopy(self)
