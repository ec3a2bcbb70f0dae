"""COIN's annotations and the protocol of VideoLLM-Online's five COIN benchmarks.

For whoever has COIN (its ``COIN.json`` and videos) and a model that answers in text: the samples to
ask, and how answers count. Source: the COIN paper's annotation format, and VideoLLM-Online's
benchmark, which asks at the end of a step's segment and takes an answer for the category that is
nearest to it in edits. We compare without case, final full stop and list numbers.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vrex import UserError

KINDS = ("step", "next", "task", "proc", "proc_plus")
"""The benchmarks, in the order of the paper's Table II."""
STEPS_AHEAD = 5
"""Most steps that a procedure question asks for."""
SUBSETS = {"train": "training", "test": "testing"}
CONCISE = "Format your answer concisely."
ALONE = "No extra text output."
LISTED = "listing each action on a new line with a number prefix"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A step of a video."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    label: str


@dataclass(frozen=True, kw_only=True)
class Video:
    """An annotated video."""

    name: str
    task: str
    """In words."""
    start: float
    """Seconds; where the task begins."""
    end: float
    """Seconds."""
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A question about a stretch of a video."""

    kind: str
    """One of :data:`KINDS`."""
    video: str
    start: float
    """Seconds: what the model watches before it answers."""
    end: float
    prompt: str
    answer: tuple[str, ...]
    """Categories; several for a procedure."""

    def frames(self, fps: float) -> range:
        """Return the frames to watch at ``fps`` frames a second."""
        return range(math.ceil(self.start * fps), math.ceil(self.end * fps) + 1)


@dataclass(frozen=True, kw_only=True)
class Coin:
    """A split of COIN, with the categories of the whole."""

    videos: tuple[Video, ...]
    steps: tuple[str, ...]
    """Every step label of every split, sorted."""
    tasks: tuple[str, ...]
    """Every task in words, sorted."""

    def categories(self, kind: str) -> tuple[str, ...]:
        """Return what an answer to ``kind`` is matched with."""
        return self.tasks if kind == "task" else self.steps

    def samples(self, kind: str) -> Iterator[Sample]:
        """Yield the questions of one of :data:`KINDS`; UserError for another."""
        if kind not in KINDS:
            raise UserError(f"unknown COIN benchmark {kind!r}: known are {', '.join(KINDS)}")
        for video in self.videos:
            if kind == "task":
                prompt = f"What is the overall activity in the video? {CONCISE} {ALONE}"
                yield Sample(
                    kind=kind,
                    video=video.name,
                    start=video.start,
                    end=video.end,
                    prompt=prompt,
                    answer=(video.task,),
                )
            else:
                yield from _of_steps(kind, video)


def _of_steps(kind: str, video: Video) -> Iterator[Sample]:
    ahead = {"step": 0, "next": 1}.get(kind, STEPS_AHEAD)
    for number, segment in enumerate(video.segments):
        after = video.segments[number + 1 : number + 1 + ahead]
        answer = (segment,) if kind == "step" else after
        if answer:
            yield Sample(
                kind=kind,
                video=video.name,
                start=segment.start,
                end=segment.end,
                prompt=_prompt(kind, video.task, len(answer)),
                answer=tuple(one.label for one in answer),
            )


def _prompt(kind: str, task: str, count: int) -> str:
    if kind == "step":
        return f"What is the action in the video? {CONCISE} {ALONE}"
    goal = f"To {task}, what" if kind == "proc_plus" else "What"
    if count == 1:
        return f"{goal} is the next action for the video? {CONCISE} {ALONE}"
    concise = f"{CONCISE[:-1]}, {LISTED}."
    return f"{goal} is the next {count} actions for the video? {concise} {ALONE}"


def load(path: Path, split: str = "test") -> Coin:
    """Read COIN's annotation file; ``split`` is train or test.

    Raises :class:`~vrex.UserError`, with the video's name, for a file that is not COIN's.
    """
    if split not in SUBSETS:
        raise UserError(f"unknown split {split!r}: known are {', '.join(SUBSETS)}")
    try:
        database = json.loads(path.read_text())["database"]
        videos = {name: (_video(path, name, v), v["subset"]) for name, v in database.items()}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error}); give COIN's COIN.json") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not COIN's annotation file ({error!r})") from None
    every = [video for video, _ in videos.values()]
    return Coin(
        videos=tuple(video for video, subset in videos.values() if subset == SUBSETS[split]),
        steps=tuple(sorted({s.label for video in every for s in video.segments})),
        tasks=tuple(sorted({video.task for video in every})),
    )


def _video(path: Path, name: str, entry: dict[str, Any]) -> Video:
    try:
        return Video(
            name=name,
            task=words(entry["class"]),
            start=float(entry["start"]),
            end=float(entry["end"]),
            segments=tuple(
                Segment(
                    start=float(one["segment"][0]),
                    end=float(one["segment"][1]),
                    label=str(one["label"]),
                )
                for one in entry["annotation"]
            ),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path}: video {name} is not as COIN has it ({error!r})") from None


def words(task: str) -> str:
    """Return a class in words: ReplaceSIMCard as replace SIM card."""
    parts = re.findall(r"[A-Z]+\d*(?![a-z\d])|[A-Z]?[a-z]+|\d+", task)
    return " ".join(p if p.isupper() and len(p) > 1 else p.lower() for p in parts)


def nearest(text: str, categories: Sequence[str]) -> str:
    """Return the category that an answer means: the same text, else the fewest edits away.

    The first of equally near ones; case, white space, a final full stop and a list number do not
    count.
    """
    said = _normal(text)
    normal = [_normal(category) for category in categories]
    if said in normal:
        return categories[normal.index(said)]
    return categories[int(distances(said, normal).argmin())]


def _normal(text: str) -> str:
    text = re.sub(r"^\s*\d+\s*[.)]\s*", "", text)
    return " ".join(text.lower().split()).rstrip(".")


def distances(text: str, others: Sequence[str]) -> NDArray[np.int64]:
    """Return Levenshtein's distance of ``text`` to each of ``others``, [len(others)]."""
    longest = max(map(len, others))
    place = np.arange(longest + 1)
    letters = np.array([[ord(c) for c in o] + [-1] * (longest - len(o)) for o in others])
    letters = letters.reshape(len(others), longest)
    row = np.tile(place, (len(others), 1))
    for number, letter in enumerate(text, 1):
        changed = row[:, :-1] + (letters != ord(letter))
        best = np.minimum(changed, row[:, 1:] + 1)
        best = np.concatenate([np.full((len(others), 1), number), best], 1)
        # Insertions: the least of all places before, each an edit further.
        row = np.minimum.accumulate(best - place, 1) + place
    return row[np.arange(len(others)), [len(o) for o in others]].astype(np.int64)


def accuracy(coin: Coin, samples: Sequence[Sample], answers: Sequence[str]) -> float:
    """Return the share of right categories of ``answers``, one text a sample, all of one kind.

    A procedure's steps are the answer's lines, in order; each counts, and one that is missing is
    wrong. Raises ValueError for other than one answer a sample.
    """
    right = total = 0
    for sample, text in zip(samples, answers, strict=True):
        several = len(sample.answer) > 1
        said = [line for line in text.split("\n") if line.strip()] if several else [text]
        for wanted, given in zip(sample.answer, said, strict=False):
            right += nearest(given, coin.categories(sample.kind)) == wanted
        total += len(sample.answer)
    return right / total if total else 0.0
