"""Questions about a video, with their answers, read off its script."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from vrex_video.script import Flash, Script, Segment
from vrex_video.vocabulary import (
    COUNTS,
    FORECAST,
    NONE,
    Kind,
    count_token,
    object_token,
    question_tokens,
    scene_token,
    step_token,
    task_token,
)

FRAME_TOKENS = 10
"""Tokens of a frame: a 3x3 grid of patches and a global one."""
OLD = 45
"""Frames: evidence of an old-memory question is older than that, unless asked otherwise."""


@dataclass(frozen=True)
class Question:
    """A question asked once frame ``frame`` has been seen."""

    kind: Kind
    frame: int
    text: tuple[int, ...]
    """QUESTION_LENGTH tokens; the answer's first token follows the last of them."""
    answer: tuple[int, ...]
    """One token; FORECAST tokens for the procedure questions."""
    distance: int
    """Tokens from the question back to the first token of the frame with the evidence: the nearest
    frame that has it, of the oldest piece where several are needed."""


def ask(
    script: Script, kind: Kind, frame: int, rng: np.random.Generator, old: int = OLD
) -> Question | None:
    """Draw a question of ``kind`` after ``frame``, or None where none has a definite answer.

    ``old`` is the least age in frames of the evidence of old-memory questions.
    """
    match kind:
        case Kind.RECALL:
            return _recall(script, frame, rng, old)
        case Kind.BEFORE:
            return _before(script, frame, rng, old)
        case Kind.COUNT:
            return _count(script, frame, rng, old)
        case _:
            return _procedure(script, kind, frame)


def _tokens_back(frame: int, evidence: int) -> int:
    return FRAME_TOKENS * (frame - evidence + 1)


def _procedure(script: Script, kind: Kind, frame: int) -> Question | None:
    segment = script.segment_at(frame)
    steps = tuple(step_token(step) for step in segment.following(FORECAST))
    if kind is Kind.STEP:
        return Question(kind, frame, question_tokens(kind), (step_token(segment.step),), 10)
    if kind is Kind.PROC_PLUS:
        return Question(kind, frame, question_tokens(kind, task_token(segment.task)), steps, 10)
    if segment.previous < 0:
        return None  # One step does not tell the task.
    answer = {
        Kind.NEXT: steps[:1],
        Kind.TASK: (task_token(segment.task),),
        Kind.PROC: steps,
    }[kind]
    evidence = script.segments[segment.previous].stop - 1
    return Question(kind, frame, question_tokens(kind, NONE), answer, _tokens_back(frame, evidence))


def _seen(script: Script, frame: int) -> list[Flash]:
    return [flash for flash in script.flashes if flash.start <= frame]


def _recall(script: Script, frame: int, rng: np.random.Generator, old: int) -> Question | None:
    by_step: dict[int, list[Flash]] = {}
    for flash in _seen(script, frame):
        by_step.setdefault(script.segments[flash.segment].step, []).append(flash)
    fit = [
        (step, flashes[0])
        for step, flashes in by_step.items()
        if len(flashes) == 1 and frame - flashes[0].last >= old
    ]
    if not fit:
        return None
    step, flash = fit[rng.integers(len(fit))]
    text = question_tokens(Kind.RECALL, step_token(step))
    distance = _tokens_back(frame, flash.last)
    return Question(Kind.RECALL, frame, text, (object_token(flash.thing),), distance)


def _before(script: Script, frame: int, rng: np.random.Generator, old: int) -> Question | None:
    latest: dict[int, Segment] = {s.scene: s for s in script.segments if s.start <= frame}
    fit = [s for s in latest.values() if frame - (s.stop - 1) >= max(old, 1)]
    if not fit:
        return None
    segment = fit[rng.integers(len(fit))]
    text = question_tokens(Kind.BEFORE, scene_token(segment.scene))
    distance = _tokens_back(frame, segment.stop - 1)
    return Question(Kind.BEFORE, frame, text, (step_token(segment.step),), distance)


def _count(script: Script, frame: int, rng: np.random.Generator, old: int) -> Question | None:
    done = [segment for segment in script.segments if segment.start <= frame]
    counts = Counter(segment.step for segment in done)
    latest = {segment.step: segment.stop - 1 for segment in done}
    fit = [step for step, last in latest.items() if frame - last >= max(old, 1)]
    possible = sorted({counts[step] for step in fit if counts[step] <= COUNTS})
    if not possible:
        return None
    count = possible[rng.integers(len(possible))]  # First, so that answers are balanced.
    fit = [step for step in fit if counts[step] == count]
    step = fit[rng.integers(len(fit))]
    first = next(segment for segment in done if segment.step == step)
    text = question_tokens(Kind.COUNT, step_token(step))
    distance = _tokens_back(frame, first.stop - 1)
    return Question(Kind.COUNT, frame, text, (count_token(count),), distance)
