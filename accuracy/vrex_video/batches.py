"""Training batches: scripts and questions from worker processes, pixels drawn on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vrex_video.questions import Question, ask
from vrex_video.script import Script
from vrex_video.stream import Split, make_scene
from vrex_video.vocabulary import (
    FORECAST,
    PAD,
    QUESTION_LENGTH,
    Kind,
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
NOTES = 4
"""What a frame's last token is trained to say: step, task, scene, object."""


@dataclass(frozen=True)
class Phase:
    """Some steps of training on streams of one length or several."""

    steps: int
    frames: tuple[int, ...]
    """Drawn with equal chances, one for a whole batch."""


Batch = dict[str, Tensor]


class Batches(Dataset[Batch]):
    """Batch ``n`` of a training run is the same every time.

    Its tensors, for B streams of F frames with Q questions: ``camera``, ``sprites`` as in
    ``Layout``; ``asked`` [B, Q]; ``text`` and ``target`` [B, Q, SHAPE]; ``notes`` [B, F, NOTES].
    """

    def __init__(self, seed: int, phases: tuple[Phase, ...], frames: int) -> None:
        """``frames`` is the number of frames in a batch, over all its streams."""
        self.seed = seed
        self.frames = frames
        self.lengths: list[int] = []
        rng = np.random.default_rng([seed, 99])
        for phase in phases:
            self.lengths += rng.choice(phase.frames, size=phase.steps).tolist()

    def __len__(self) -> int:
        """Return the number of batches of the run."""
        return len(self.lengths)

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``."""
        length = self.lengths[number]
        streams = max(1, self.frames // length)
        questions = max(24, min(128, length // 6))
        rows = [self._stream(number * 1000 + k, length, questions) for k in range(streams)]
        return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}

    def _stream(self, number: int, length: int, questions: int) -> dict[str, np.ndarray]:
        script, layout = make_scene(Split.TRAIN, self.seed, number, length)
        rng = np.random.default_rng([self.seed, number])
        asked = np.full(questions, length - 1)
        text = np.full((questions, SHAPE), PAD)
        target = np.full((questions, SHAPE), IGNORED)
        for place in range(questions):
            question = _draw(script, rng)
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
            "notes": _notes(script),
        }


def _draw(script: Script, rng: np.random.Generator) -> Question | None:
    kinds = (*Kind, *HARD)
    for _ in range(6):
        kind = kinds[rng.integers(len(kinds))]
        frame = int(rng.integers(script.frames // 5, script.frames))
        old = int(rng.integers(1, 46))
        question = ask(script, kind, frame, rng, old)
        if question is not None:
            return question
    return None


def _notes(script: Script) -> np.ndarray:
    notes = np.full((script.frames, NOTES), IGNORED)
    for segment in script.segments:
        span = slice(segment.start, segment.stop)
        notes[span, 0] = step_token(segment.step)
        notes[span, 1] = task_token(segment.task) if segment.place else IGNORED
        notes[span, 2] = scene_token(segment.scene)
    notes[:, 3] = PAD
    for flash in script.flashes:
        notes[flash.start : flash.last + 1, 3] = object_token(flash.thing)
    return notes
