"""Training batches: scripts and questions from worker processes, pixels drawn on the device."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vrex_video.questions import Question, ask
from vrex_video.script import Script
from vrex_video.stream import Split, make_scene
from vrex_video.vocabulary import (
    COUNTS,
    FORECAST,
    PAD,
    QUESTION_LENGTH,
    Kind,
    count_token,
    object_token,
    scene_token,
    step_token,
    task_token,
)

SHAPE = QUESTION_LENGTH + FORECAST - 1
"""Tokens of a question's branch: the question, and the answer but for its last token."""
IGNORED = -100
"""A target that does not count, as in torch's cross entropy."""
HARD = (Kind.RECALL, Kind.BEFORE, Kind.COUNT, Kind.NEXT)
NOTES = 5
"""What a frame's last token is trained to say: step, task, scene, object, how often the step."""


@dataclass(frozen=True)
class Phase:
    """Some steps of training on streams of one length or several."""

    steps: int
    frames: tuple[int, ...]
    """Drawn with equal chances, one for a whole batch."""


@dataclass(frozen=True)
class Course:
    """A part of the training with a learning rate of its own, that rises and falls."""

    phases: tuple[Phase, ...]
    peak: float
    """The learning rate at its top."""
    counting: bool = True
    """Whether frames note how often their step was done, and questions ask for it."""


Batch = dict[str, Tensor]


class Batches(Dataset[Batch]):
    """Batch ``n`` of a training run is the same every time.

    Its tensors, for B streams of F frames with Q questions: ``camera``, ``sprites`` as in
    ``Layout``; ``asked`` [B, Q]; ``text`` and ``target`` [B, Q, SHAPE]; ``notes`` [B, F, NOTES].
    """

    def __init__(self, seed: int, course: Course, frames: int, first: int = 0) -> None:
        """``frames`` is the number of frames in a batch, over all its streams.

        ``first``: how many batches of streams other courses of this seed have taken.
        """
        self.seed = seed
        self.frames = frames
        self.first = first
        self.counting = course.counting
        self.lengths: list[int] = []
        rng = np.random.default_rng([seed, 99, first])
        for phase in course.phases:
            self.lengths += rng.choice(phase.frames, size=phase.steps).tolist()

    def __len__(self) -> int:
        """Return the number of batches of the run."""
        return len(self.lengths)

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``."""
        length = self.lengths[number]
        streams = max(1, self.frames // length)
        questions = max(24, min(128, length // 6))
        rows = [
            self._stream((self.first + number) * 1000 + k, length, questions)
            for k in range(streams)
        ]
        return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}

    def _stream(self, number: int, length: int, questions: int) -> dict[str, np.ndarray]:
        script, layout = make_scene(Split.TRAIN, self.seed, number, length)
        rng = np.random.default_rng([self.seed, number])
        asked = np.full(questions, length - 1)
        text = np.full((questions, SHAPE), PAD)
        target = np.full((questions, SHAPE), IGNORED)
        for place in range(questions):
            question = _draw(script, rng, self.counting)
            if question is None:
                continue
            asked[place] = question.frame
            words = (question.text + question.answer)[:-1]
            text[place, : len(words)] = words
            stop = QUESTION_LENGTH - 1 + len(question.answer)
            target[place, QUESTION_LENGTH - 1 : stop] = question.answer
        return {
            "camera": layout.camera,
            "sprites": layout.sprites,
            "asked": asked,
            "text": text,
            "target": target,
            "notes": _notes(script, self.counting),
        }


def _draw(script: Script, rng: np.random.Generator, counting: bool) -> Question | None:
    kinds = [kind for kind in (*Kind, *HARD) if counting or kind is not Kind.COUNT]
    for _ in range(6):
        kind = kinds[rng.integers(len(kinds))]
        frame = int(rng.integers(script.frames // 5, script.frames))
        old = int(rng.integers(1, 46))
        question = ask(script, kind, frame, rng, old)
        if question is not None:
            return question
    return None


def _notes(script: Script, counting: bool) -> np.ndarray:
    notes = np.full((script.frames, NOTES), IGNORED)
    times: Counter[int] = Counter()
    for segment in script.segments:
        times[segment.step] += 1
        span = slice(segment.start, segment.stop)
        notes[span, 0] = step_token(segment.step)
        notes[span, 1] = task_token(segment.task) if segment.place else IGNORED
        notes[span, 2] = scene_token(segment.scene)
        if counting and times[segment.step] <= COUNTS:
            notes[span, 4] = count_token(times[segment.step])
    notes[:, 3] = PAD
    for flash in script.flashes:
        notes[flash.start : flash.last + 1, 3] = object_token(flash.thing)
    return notes
