"""One method through one batch of streams: answers, errors and what was read, as plain sums."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vrex_eval.benchmark import Batch, Benchmark, Question, Watching
from vrex_eval.method import Method
from vrex_eval.record import COUNTS, Probe, Recorded


@dataclass(kw_only=True)
class Reference:
    """What full attention gave for a batch."""

    hidden: list[Tensor] = field(default_factory=list)
    """For each frame the final hidden state, [B, T, width]."""
    logits: list[Tensor] = field(default_factory=list)
    """For each round of questions the logits of the answer's first token, [B, words]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Round:
    """Questions asked at once, one of a stream at most."""

    frame: int
    text: Tensor
    """[B, L] int64; of a stream that is not asked, another's."""
    answer: Tensor
    """[B, A] int64."""
    questions: list[Question | None]
    """B of them; None: the stream is not asked."""


def rounds(batch: Batch) -> Iterator[Round]:
    """Yield the batch's questions in the order of their frames, as few at a time as it takes."""
    groups: dict[tuple[int, int, int], list[list[Question]]] = {}
    streams = len(batch.frames)
    for q in batch.questions:
        key = (q.frame, len(q.text), len(q.answer))
        groups.setdefault(key, [[] for _ in range(streams)])[q.stream].append(q)
    for (frame, _, _), of_streams in sorted(groups.items()):
        for number in range(max(map(len, of_streams))):
            asked = [own[number] if number < len(own) else None for own in of_streams]
            some = next(q for q in asked if q is not None)
            every = [some if q is None else q for q in asked]
            yield Round(
                frame=frame,
                text=torch.tensor([q.text for q in every], device=batch.frames.device),
                answer=torch.tensor([q.answer for q in every], device=batch.frames.device),
                questions=asked,
            )


class Watch:
    """A method under way through a batch."""

    def __init__(
        self, benchmark: Benchmark, method: Method, reference: Reference | None, every: int
    ) -> None:
        """``reference`` is compared with; None: this run is full attention and makes it.

        Every ``every``-th frame, and every question, has its layers' outputs compared with exact
        attention; 0: none.
        """
        self.recorded = Recorded(method, probe=Probe() if every else None)
        self.every = every
        self.watching = benchmark.begin(self.recorded)
        self.makes = reference is None
        self.reference = Reference() if reference is None else reference
        """What is compared with; complete after a run that makes it."""
        self._rounds = 0
        self._stages: dict[str, dict[str, Tensor]] = {"frame": {}, "text": {}}
        self._questions: dict[str, dict[str, Any]] = {}

    @torch.no_grad()
    def run(self, batch: Batch, progress: Callable[[], object]) -> dict[str, Any]:
        """Watch the frames and ask; return the sums, fit for JSON. ``progress``: a frame is done.

        ``frame`` and ``text``: of :data:`~vrex_eval.record.COUNTS` sums [L][Hkv], what the probe
        gives, for frames ``hidden_error`` and its ``hidden_n``. ``questions``: for each kind the
        ``answers`` as [distance, share of the answer's tokens that are right, KL], and COUNTS.
        """
        asked = defaultdict(list)
        for one in rounds(batch):
            asked[one.frame].append(one)
        for frame in range(batch.frames.shape[1]):
            self._frame(frame, batch.frames[:, frame])
            if asked[frame]:
                self._count("frame", self.recorded.tally.take().sum(2))
                for one in asked[frame]:
                    self._ask(one)
            progress()
        if self.recorded.tally:
            self._count("frame", self.recorded.tally.take().sum(2))
        return self._plain()

    def _frame(self, frame: int, frames: Tensor) -> None:
        self._switch("frame", bool(self.every) and frame % self.every == self.every - 1)
        hidden = self.watching.frame(frames)
        self._switch("frame", False)
        if self.makes:
            self.reference.hidden.append(hidden)
        wanted = self.reference.hidden[frame]
        error = (hidden - wanted).norm(dim=-1) / wanted.norm(dim=-1)
        self._add("frame", "hidden_error", error.double().sum())
        self._add("frame", "hidden_n", torch.tensor(error.numel()))

    def _ask(self, one: Round) -> None:
        fork = self.watching.fork()
        live = torch.tensor([q is not None for q in one.questions], device=one.text.device)
        self._switch("text", bool(self.every), live)
        first, said = answer(fork, one)
        self._switch("text", False)
        if self.makes:
            self.reference.logits.append(first)
        wanted = self.reference.logits[self._rounds]
        self._rounds += 1
        kl = torch.nn.functional.kl_div(
            first.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="none"
        ).sum(-1)
        right = (said == one.answer).double().mean(-1)
        sums = self.recorded.tally.take()
        self._count("text", (sums * live.cpu()[:, None]).sum(2))
        self._answers(one, right.tolist(), kl.tolist(), sums.sum((1, 3)).T.tolist())

    def _answers(
        self, one: Round, right: list[float], kl: list[float], counts: list[list[float]]
    ) -> None:
        for q, *scores, own in zip(one.questions, right, kl, counts, strict=True):
            if q is None:
                continue
            kind = self._questions.setdefault(q.kind, {"answers": [], **dict.fromkeys(COUNTS, 0.0)})
            kind["answers"].append([q.distance, *scores])
            for name, count in zip(COUNTS, own, strict=True):
                kind[name] += count

    def _switch(self, stage: str, on: bool, live: Tensor | None = None) -> None:
        """Switch the probe; when it goes off, gather what it saw."""
        probe = self.recorded.probe
        if probe is None:
            return
        if probe.on and not on:
            for name, values in (probe.take() or {}).items():
                self._add(stage, name, torch.tensor(values, dtype=torch.float64))
        probe.on, probe.streams = on, live

    def _count(self, stage: str, sums: Tensor) -> None:
        for name, own in zip(COUNTS, sums, strict=True):
            self._add(stage, name, own)

    def _add(self, stage: str, name: str, values: Tensor) -> None:
        sums = self._stages[stage]
        sums[name] = sums[name] + values if name in sums else values

    def _plain(self) -> dict[str, Any]:
        stages = {
            stage: {name: values.tolist() for name, values in sums.items()}
            for stage, sums in self._stages.items()
        }
        return {**stages, "questions": self._questions}


def answer(watching: Watching, one: Round) -> tuple[Tensor, Tensor]:
    """Ask, and answer greedily; return the first logits [B, words] and the tokens [B, A]."""
    first = watching.text(one.text)[:, -1]
    tokens = [first.argmax(-1)]
    while len(tokens) < one.answer.shape[1]:
        tokens.append(watching.text(tokens[-1][:, None])[:, -1].argmax(-1))
    return first, torch.stack(tokens, 1)
